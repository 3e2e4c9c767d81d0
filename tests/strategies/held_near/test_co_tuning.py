"""The source's head learns what its classes say of each target class (You et al. 2020)."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.strategies import ImpossibleError
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near.co_tuning import CoTuning, check_classes, direct_relationship
from transfergrid.testing.bench import Bench


def exact(rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "co_tuning")
def test_the_direct_relation_is_the_mean_over_each_class():
    given, expected, tolerance = golden("co_tuning", "direct_relationship")
    said, labels = exact(given["source_probabilities"]), torch.tensor(given["target_labels"])
    found = direct_relationship(said, labels, 3)
    assert (found[:2] - exact(expected["p_source_given_target"])).abs().max() <= tolerance
    assert found[2].tolist() == [0.0, 0.0, 0.0]  # of a class without examples nothing is known


@pytest.mark.proves("formula_exact", "co_tuning")
def test_the_loss_adds_the_soft_cross_entropy_of_the_source_head():
    given, expected, tolerance = golden("co_tuning", "loss")
    strategy = Bench(CoTuning, {"weight": given["trade_off"]}).set_up(10).strategy
    batch = next(iter(Bench(CoTuning).moments(10))).batch
    batch.target.labels = torch.tensor(given["labels"])
    strategy.scaffold.relationship = exact(given["relationship"])
    strategy.features = lambda inputs: None
    strategy.head, strategy.source_head = Says(given["target_logits"]), Says(given["source_logits"])
    assert strategy.loss(batch, 0.0).item() == pytest.approx(expected["total"], abs=tolerance)


class Says(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = exact(logits)

    def forward(self, features):
        return self.logits


@pytest.mark.parametrize("texts", [False, True])
def test_the_relation_is_of_the_source_on_the_training_part_as_it_is(texts):
    bench = Bench(CoTuning).on_texts() if texts else Bench(CoTuning)
    setup = bench.prepared(10)
    strategy, view = setup.strategy, setup.data.train
    assert setup.data.validation is not None  # its labels are not counted
    with torch.no_grad():
        features = strategy.backbone.eval().embed(view.inputs(view.rows))
        said = strategy.source_head(features).softmax(1).double()
    labels = torch.from_numpy(view.labels)
    wanted = torch.stack([said[labels == c].mean(0) for c in range(3)])
    found = strategy.scaffold.get_buffer("relationship").double()
    assert found.shape == (3, len(strategy.source_head.weight))
    assert (found - wanted).abs().max() < 1e-5


def test_weight_0_is_full_finetuning():
    own, plain = (
        Bench(kind, {**told, "lr_factor": 0.3}).run(10)
        for kind, told in ((CoTuning, {"weight": 0.0}), (FullFinetuning, {}))
    )
    assert all(torch.equal(value, own.state[name]) for name, value in plain.state.items())


def test_the_default_ends_elsewhere_and_moves_the_source_head():
    own, plain = Bench(CoTuning).run(10), Bench(FullFinetuning).run(10)
    assert not torch.equal(own.predictions, plain.predictions)
    begun = Bench(CoTuning).set_up(10).strategy.state_dict()
    assert not torch.equal(own.state["source_head.weight"], begun["source_head.weight"])


def test_a_source_of_numbers_is_impossible():
    with pytest.raises(ImpossibleError, match="tell classes apart"):
        check_classes(nn.Linear(4, 1), "co_tuning")


@pytest.mark.proves("trajectory_exact", "co_tuning")
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
def test_twenty_steps_are_those_of_plain_torch(on):
    run = trajectory(CoTuning, {"lr_factor": 0.5}, on, schedule="constant")
    net, theirs = run.net(), run.start["source_head.weight"].clone().requires_grad_()
    with torch.no_grad():
        said = (net.eval().features(run.target.inputs) @ theirs.T).softmax(1)
    looks_like = torch.stack([said[run.target.labels == c].mean(0) for c in range(3)])
    net.train()
    optimiser = torch.optim.AdamW([*net.parameters(), theirs], 0.01, weight_decay=0.05)
    for batch in run.batches:
        optimiser.zero_grad()
        features = net.features(batch.target.inputs)
        fit = cross_entropy(net.head(features), batch.target.labels)
        logs = (features @ theirs.T).log_softmax(1)
        soft = -(looks_like[batch.target.labels] * logs).sum(1).mean()
        (fit + 2.3 * soft).backward()
        optimiser.step()
    same(run, {**net.state_dict(), "source_head.weight": theirs})
