"""CE + weight/2 sum F (w - w0)^2, F per example and in eval mode (Kirkpatrick et al. 2017)."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near.l2_sp import half_square
from transfergrid.strategies.tasks.ewc import EWC, pull, squared_slopes
from transfergrid.testing.bench import Bench


def published(labels):
    """Return the Fisher of a logistic model, as the mean over its examples."""
    given, _, _ = golden("ewc", "fisher_and_penalty")
    theta = torch.tensor(given["theta_star"], dtype=torch.float64, requires_grad=True)
    found = []
    for x, y in zip(given["X"], given["y"], strict=True):
        z = torch.tensor(x, dtype=torch.float64) @ theta
        logits = torch.stack([torch.zeros_like(z), z])
        found += squared_slopes(logits, [theta], int(y) if labels == "data" else None)
    return torch.stack(found).mean(0)


@pytest.mark.proves("formula_exact", "ewc")
@pytest.mark.parametrize(("labels", "kind"), [("model", "true"), ("data", "empirical")])
def test_fisher_and_penalty_are_the_published_ones(labels, kind):
    given, expected, tolerance = golden("ewc", "fisher_and_penalty")
    fisher = published(labels)
    assert fisher.tolist() == pytest.approx(expected[f"fisher_{kind}"], abs=tolerance)
    start, now = (torch.tensor(given[n], dtype=torch.float64) for n in ("theta_star", "theta"))
    penalty = given["strength"] * pull(fisher, now - start).item()
    assert penalty == pytest.approx(expected[f"penalty_{kind}"], abs=tolerance)


def test_where_all_weights_matter_alike_it_is_the_pull_of_l2_sp():
    way = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert pull(torch.ones_like(way), way).item() == pytest.approx(half_square([way]).item())


def test_without_weight_it_is_full_fine_tuning_bit_for_bit():
    plain = Bench(FullFinetuning, {"lr_factor": 0.5}).run(10)
    own = Bench(EWC, {"lr_factor": 0.5, "weight": 0.0}).run(10)
    assert all(torch.equal(value, own.state[name]) for name, value in plain.state.items())
    assert torch.equal(plain.predictions, own.predictions)


def test_the_fisher_is_measured_in_eval_mode_and_moves_nothing():
    bench = Bench(EWC, {"examples": 12})
    before = bench.set_up(10).strategy.state_dict()
    strategy = bench.prepared(10).strategy
    run = bench.run(10)
    first, again = (run.setup.strategy, bench.run(10).setup.strategy)
    fisher = first.scaffold.get_buffer("fisher")
    assert torch.equal(fisher, again.scaffold.get_buffer("fisher"))
    assert fisher.min() >= 0
    assert fisher.max() > 0
    after = strategy.state_dict()
    moved = [
        n for n, v in before.items() if n != "scaffold.fisher" and not torch.equal(v, after[n])
    ]
    assert not moved


def test_what_the_source_needs_moves_less_under_a_strong_pull():
    ways = []
    for weight in (1.0, 1e5):
        strategy = Bench(EWC, {"weight": weight, "lr_factor": 0.5}).run(10).setup.strategy
        start = torch.cat([p.flatten() for p in strategy.scaffold["start"].parameters()])
        now = torch.cat([p.flatten() for p in strategy.backbone.parameters()])
        ways.append(pull(strategy.scaffold.get_buffer("fisher"), now - start).item())
    assert ways[1] < ways[0] / 2


@pytest.mark.proves("trajectory_exact", "ewc")
@pytest.mark.parametrize("labels", ["model", "data"])
def test_it_ends_where_a_plain_loop_ends(labels):
    weight = 30.0
    run = trajectory(EWC, {"lr_factor": 0.5, "weight": weight, "examples": 999, "labels": labels})
    net, own = run.net().eval(), run.strategy.source_head.double()
    weights, source = [*net.backbone.parameters()], run.source[0]
    fisher = [torch.zeros_like(w) for w in weights]
    for x, y in zip(source.inputs, source.labels.tolist(), strict=True):
        said = own(net.features(x[None])).log_softmax(1)[0]
        for k, log in enumerate(said):
            share = float(k == y) if labels == "data" else log.detach().exp()
            slopes = torch.autograd.grad(log, weights, retain_graph=True)
            for f, g in zip(fisher, slopes, strict=True):
                f += share * g * g / len(source.labels)
    start, both = [w.detach().clone() for w in weights], [*net.head.parameters(), *weights]
    optimiser, net = adamw((both, 0.5)), net.train()
    for step, batch in enumerate(run.batches):
        ways = zip(fisher, weights, start, strict=True)
        penalty = sum((f * (w - w0) ** 2).sum() for f, w, w0 in ways)
        loss = cross_entropy(net(batch.target.inputs), batch.target.labels) + weight / 2 * penalty
        set_rate(optimiser, cosine(step, 20))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    same(run, net)
