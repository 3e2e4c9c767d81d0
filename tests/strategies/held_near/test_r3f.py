"""CE + weight (KL(p | q) + KL(q | p)), q under noise (Aghajanyan et al. 2021)."""

import pytest
import torch
from step_seeds import seed
from torch.nn.functional import cross_entropy, kl_div
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near.r3f import R3f, symmetric_divergence
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny_text import TinyTextBackbone


@pytest.mark.proves("formula_exact", "r3f")
def test_the_penalty_is_the_sum_of_both_divergences_by_example():
    given, expected, tolerance = golden("r3f", "symmetric_kl")
    clean, noised = (
        torch.tensor(given[name], dtype=torch.float64) for name in ("clean_logits", "noised_logits")
    )
    found = symmetric_divergence(clean, noised).item()
    assert found == pytest.approx(expected["penalty"], abs=tolerance)
    both = expected["kl_clean_to_noised_sum"] + expected["kl_noised_to_clean_sum"]
    assert found == pytest.approx(both / 2, abs=tolerance)
    assert symmetric_divergence(noised, clean).item() == pytest.approx(found, abs=1e-12)


def noise_of(run, step, like):
    drawing = torch.Generator().manual_seed(
        seed(seed(run.strategy.block_seed, "dropout", step), "r3f")
    )
    return torch.empty_like(like).uniform_(-1, 1, generator=drawing)


@pytest.mark.proves("trajectory_exact", "r3f")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_its_steps_are_those_of_a_plain_loop(on):
    told = {"weight": 2.0, "eps": 0.3, "lr_factor": 0.5}
    run = trajectory(R3f, told, on, schedule="constant")
    net = run.net()
    layers = net.backbone.network
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.05)
    for step, batch in enumerate(run.batches):
        optimiser.zero_grad()
        x, y = batch.target.inputs, batch.target.labels
        clean = net(x)
        noted = {name: value.clone() for name, value in net.named_buffers()}
        if on == "images":
            noised = net(x + 0.3 * noise_of(run, step, x))
        else:
            words = layers["words"](x["input_ids"]).detach()
            hidden = layers["body"](words + 0.3 * noise_of(run, step, words))
            real = x["attention_mask"].unsqueeze(-1).double()
            noised = net.head(layers["dense"]((hidden * real).sum(1) / real.sum(1)))
        p, q = clean.softmax(1), noised.softmax(1)
        both = kl_div(q.log(), p, reduction="sum") + kl_div(p.log(), q, reduction="sum")
        (cross_entropy(clean, y) + 2.0 * both / len(y)).backward()
        net.load_state_dict(noted, strict=False)
        optimiser.step()
    same(run, net)


def run_of(kind, **told):
    plan = Training(steps=6, batch_size=8)
    return Bench(kind, {"lr_factor": 0.3, **told}, training=plan).run(5).state


def test_at_weight_0_it_is_fine_tuning_bit_for_bit():
    plain, unweighted, weighted = run_of(FullFinetuning), run_of(R3f, weight=0.0), run_of(R3f)
    assert all(torch.equal(unweighted[name], value) for name, value in plain.items())
    assert not torch.equal(weighted["head.weight"], plain["head.weight"])


@pytest.mark.parametrize("on", ["images", "texts"])
def test_without_noise_the_penalty_is_that_of_dropout_alone(on):
    bench = Bench(R3f, {"eps": 0.0})
    (moment,) = (bench if on == "images" else bench.on_texts()).moments(10)
    strategy, seen = moment.strategy, moment.batch.labelled()
    loss, clean = [], []
    for dropout in (0.2, 0.0):
        for module in strategy.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        torch.manual_seed(0)
        loss.append(strategy.loss(moment.batch, 0.0).item())
        torch.manual_seed(0)
        clean.append(cross_entropy(strategy.predict(seen.inputs), seen.labels).item())
    assert loss[0] > clean[0] + 1e-4
    assert loss[1] == clean[1]


def test_normal_noise_has_another_size_and_statistics_are_of_the_clean_pass():
    (moment,) = Bench(R3f, {"eps": 0.5, "noise": "normal"}).moments(10)
    strategy = moment.strategy
    found = strategy._with_noise(torch.zeros(200, 200), torch.Generator().manual_seed(0), 0.1)
    assert found.std().item() == pytest.approx(0.5, rel=0.02)
    norm = strategy.backbone.network.bn1
    counted = norm.num_batches_tracked.item()
    strategy.loss(moment.batch, 0.0)
    assert norm.num_batches_tracked.item() == counted + 1


def test_a_network_of_texts_without_a_table_is_refused():
    setup = Bench(R3f).on_texts().set_up(5)
    network = TinyTextBackbone(4)
    network.network["words"] = torch.nn.Linear(3, 4)
    setup.strategy.backbone = network
    with pytest.raises(ImpossibleError, match="no table of embedded tokens"):
        setup.strategy.build(None)
