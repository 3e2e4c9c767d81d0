"""Each tensor's rate by its gradient beside itself (Lee et al. 2023, Auto-RGN)."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning import auto_rgn
from transfergrid.strategies.fine_tuning.auto_rgn import AutoRGN, relative_rates
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench, state_of
from transfergrid.testing.cutting import killed
from watched_rates import rates_of


def tensors(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.mark.proves("formula_exact", "auto_rgn")
@pytest.mark.parametrize(
    ("gradients", "weights", "expected"),
    [
        # ratios 1/5 and 1/20, by hand
        (([0.6, 0.8], [[0.1]]), ([3.0, 4.0], [[2.0]]), [1.0, 0.25]),
        # 0/1, 5/10, 2/8; norms of matrices are those of all entries
        (
            ([0.0], [[3.0, 0.0], [0.0, 4.0]], [2.0]),
            ([1.0], [[6.0, 8.0], [0.0, 0.0]], [8.0]),
            [0.0, 1.0, 0.5],
        ),
        # zeros learn at the full rate and outshine nobody
        (([9.0], [0.3], [0.6]), ([0.0], [1.0], [-1.0]), [1.0, 0.5, 1.0]),
        # nothing learns: nothing is told apart
        (([0.0], [0.0]), ([1.0], [0.0]), [1.0, 1.0]),
    ],
)
def test_rates_by_hand(gradients, weights, expected):
    found = relative_rates(tensors(*gradients), tensors(*weights))
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.proves("trajectory_exact", "auto_rgn")
@pytest.mark.parametrize(("on", "told", "every"), [("images", {}, 2), ("texts", {"every": 7}, 7)])
def test_in_plain_torch(on, told, every):
    run = trajectory(AutoRGN, {"lr_factor": 0.5, **told}, on)  # 15 examples, batches of 8
    net = run.net()
    optimiser = adamw(*(([p], 1.0) for p in net.parameters()))
    for step, batch in enumerate(run.batches):
        if step % every == 0:
            net.eval()
            loss = cross_entropy(net(run.target.inputs), run.target.labels)
            own = [*net.parameters()]
            slopes = torch.autograd.grad(loss, own)
            norms = [(g.norm().item(), w.norm().item()) for g, w in zip(slopes, own, strict=True)]
            largest = max(g / w for g, w in norms if w)
            shares = [g / w / largest if w else 1.0 for g, w in norms]
            net.train()
        for group, share in zip(optimiser.param_groups, shares, strict=True):
            group["factor"] = share
        set_rate(optimiser, 0.5 * cosine(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, net)


def test_where_all_are_alike_it_is_full_finetuning(monkeypatch):
    monkeypatch.setattr(auto_rgn, "relative_rates", lambda slopes, w: torch.ones(len(w)))
    found = Bench(AutoRGN, {"lr_factor": 1.0}).run(10).state
    plain = Bench(FullFinetuning, {"lr_factor": 1.0}).run(10).state
    assert all(torch.equal(found[name], value) for name, value in plain.items())


def test_the_largest_rate_is_lr_and_the_others_are_taken_anew_each_epoch(monkeypatch):
    plan = Training(steps=24, batch_size=8, lr=0.01, schedule="constant")
    rates = rates_of(Bench(AutoRGN, {"lr_factor": 1.0}, training=plan), 10, monkeypatch)
    assert [max(row) for row in rates] == pytest.approx([0.01] * 24)
    changed = [i for i in range(1, 24) if rates[i] != rates[i - 1]]
    assert changed == [3, 6, 9, 12, 15, 18, 21]  # 24 of 30 labels train: an epoch is 3 batches
    assert min(rates[0]) < 0.001


def test_the_optimiser_keeps_its_moments_and_a_cut_run_its_rates():
    bench = Bench(AutoRGN, {"every": 2}, training=Training(steps=6, batch_size=8))
    setup = bench.set_up(10)
    state = killed(bench, setup, 5)
    assert all(float(own["step"]) == 5 for own in state["optimiser"]["named"].values())
    assert int(state["strategy"]["scaffold.rates.looks"]) == 3


def test_looking_moves_nothing():
    bench = Bench(AutoRGN)
    setup = bench.set_up(10)
    start = state_of(setup.strategy)
    bench.driver(setup).prepare(setup.strategy.phases()[0], 0)
    changed = {n for n, v in setup.strategy.state_dict().items() if not torch.equal(v, start[n])}
    assert changed == {f"scaffold.rates.{name}" for name in ("now", "total", "looks")}


def test_some_of_many_examples_say_it():
    bench = Bench(AutoRGN, {"examples": 10})
    setup = bench.set_up(10)
    strategy = setup.strategy
    bench.driver(setup).prepare(strategy.phases()[0], 0)
    drawn = strategy._drawn(24)
    rows = setup.data.train.rows[drawn.numpy()]
    strategy.eval()
    loss = cross_entropy(
        strategy.predict(setup.data.train.inputs(rows)),
        torch.from_numpy(setup.data.train.labels[rows]),
    )
    own = [*strategy.head.parameters(), *strategy.backbone.parameters()]
    expected = relative_rates(torch.autograd.grad(loss, own), own)
    torch.testing.assert_close(strategy.found.now, expected, rtol=1e-4, atol=1e-6)


def test_who_is_looked_at_is_drawn_by_the_seed_whatever_the_order_of_the_pool():
    strategy = Bench(AutoRGN, {"examples": 300}).set_up(10).strategy
    drawn = strategy._drawn(1200)
    assert int(drawn.sum()) == 300
    assert torch.equal(drawn, strategy._drawn(1200))
    by_class = drawn.reshape(-1, 4).sum(0)  # a pool in which every fourth is of one class
    assert 50 < by_class.min() <= by_class.max() < 100
    assert strategy._drawn(200).all()
    strategy.block_seed += 1
    assert not torch.equal(drawn, strategy._drawn(1200))


def test_it_tells_how_much_each_layer_mattered():
    run = Bench(AutoRGN).run(10)
    found = run.setup.strategy.tells()["importance"]
    layers = [f"backbone.network.{name}" for name in ("conv1", "bn1", "conv2", "bn2", "dense")]
    assert list(found) == ["head", *layers]
    assert all(0 < value <= 1 for value in found.values())
    assert "scaffold.rates.now" not in run.setup.strategy.kept_state()
