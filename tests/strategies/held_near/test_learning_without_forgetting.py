"""The source goes on saying what it said of the target's inputs (Li & Hoiem 2016)."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.data.batches import Labelled
from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near.learning_without_forgetting import (
    LearningWithoutForgetting,
    forgotten,
)
from transfergrid.testing.bench import Bench


def exact(rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "learning_without_forgetting")
def test_the_loss_is_softened_without_a_squared_temperature():
    given, expected, tolerance = golden("learning_without_forgetting", "loss")
    recorded, now = exact(given["old_logits_recorded"]), exact(given["old_head_logits_now"])
    old = forgotten(recorded, now, given["temperature"]).item()
    assert old == pytest.approx(expected["old_kl"], abs=tolerance)
    new = cross_entropy(exact(given["new_logits"]), torch.tensor(given["new_labels"])).item()
    assert new + old == pytest.approx(expected["total_with_kl"], abs=tolerance)
    assert new + 4 * old == pytest.approx(expected["total_tllib_weight_4"], abs=tolerance)


@pytest.mark.proves("formula_exact", "learning_without_forgetting")
def test_worked_out_by_hand():
    """KL((2/3, 1/3) || (1/2, 1/2)) at T = 1, and of the square roots of the odds at T = 2."""
    recorded, now = exact([[2.0, 1.0]]).log(), exact([[0.0, 0.0]])
    third = 2 / 3 * torch.tensor(4 / 3.0).double().log() + 1 / 3 * exact(2 / 3).log()
    assert forgotten(recorded, now, 1.0).item() == pytest.approx(third.item(), abs=1e-7)
    p = exact([2.0**0.5, 1.0]) / (2.0**0.5 + 1.0)
    assert forgotten(recorded, now, 2.0).item() == pytest.approx((p * (2 * p).log()).sum().item())
    assert forgotten(recorded, recorded, 2.0).item() == 0.0


@pytest.mark.parametrize("texts", [False, True])
def test_what_was_recorded_is_the_source_in_eval_mode_at_every_step(texts):
    bench = Bench(LearningWithoutForgetting)
    bench = bench.on_texts() if texts else bench
    begun = bench.set_up(10).strategy
    run = bench.run(10)
    strategy, view = run.setup.strategy.train(), run.setup.data.train
    inputs = view.inputs(view.rows)
    with torch.no_grad():
        wanted = begun.source_head(begun.backbone.eval().embed(inputs))
    seen = Labelled(inputs, torch.from_numpy(view.labels))
    assert torch.equal(strategy.recorded(seen), wanted)
    assert not torch.equal(strategy.source_head.weight, begun.source_head.weight)


@pytest.mark.parametrize(
    ("told", "passes"), [({"augmentation": "none"}, 3), ({"augmentation": "light"}, 8)]
)
def test_inputs_that_come_again_are_told_once(told, passes, monkeypatch):
    """24 examples in batches of 8: three batches are new, or each of eight is another view."""
    asked = []
    say = LearningWithoutForgetting.said_at_the_start
    monkeypatch.setattr(
        LearningWithoutForgetting,
        "said_at_the_start",
        lambda self, inputs: asked.append(len(inputs)) or say(self, inputs),
    )
    plan = Training(steps=8, batch_size=8, validations=1, **told)
    run = Bench(LearningWithoutForgetting, training=plan).run(10)
    assert len(run.setup.data.train) == 24
    assert sum(asked) == 8 * passes


def test_a_source_head_that_stays_keeps_every_bit():
    bench = Bench(LearningWithoutForgetting, {"source_head": "stays"})
    begun = bench.set_up(10).strategy.source_head.weight
    assert torch.equal(bench.run(10).state["source_head.weight"], begun)


def test_weight_0_is_full_finetuning_and_1_is_not():
    plain = Bench(FullFinetuning, {"lr_factor": 0.3}).run(10)
    free = Bench(LearningWithoutForgetting, {"weight": 0.0, "lr_factor": 0.3}).run(10)
    assert all(torch.equal(value, free.state[name]) for name, value in plain.state.items())
    held = Bench(LearningWithoutForgetting, {"lr_factor": 0.3}).run(10)
    assert not torch.equal(held.predictions, plain.predictions)


@pytest.mark.proves("trajectory_exact", "learning_without_forgetting")
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
@pytest.mark.parametrize("learns", [True, False])
def test_twenty_steps_are_those_of_plain_torch(on, learns):
    told = {"weight": 2.0, "temperature": 3.0, "lr_factor": 0.5}
    told["source_head"] = "learns" if learns else "stays"
    run = trajectory(LearningWithoutForgetting, told, on, schedule="constant")
    net, source = run.net(), run.net().eval()
    theirs = run.start["source_head.weight"].clone().requires_grad_(learns)
    first = theirs.detach().clone()
    weights = [*net.parameters(), *([theirs] if learns else [])]
    optimiser = torch.optim.AdamW(weights, 0.01, weight_decay=0.05)
    for batch in run.batches:
        optimiser.zero_grad()
        with torch.no_grad():
            old = (source.features(batch.target.inputs) @ first.T / 3.0).softmax(1)
        features = net.features(batch.target.inputs)
        now = (features @ theirs.T / 3.0).log_softmax(1)
        fit = cross_entropy(net.head(features), batch.target.labels)
        (fit + 2.0 * (old * (old.log() - now)).sum(1).mean()).backward()
        optimiser.step()
    same(run, {**net.state_dict(), "source_head.weight": theirs})
