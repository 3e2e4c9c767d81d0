"""head(alpha f(x) + (1 - alpha) s(x)) with one learned alpha (Zhang et al. 2020)."""

import pytest
import torch
from beside_loops import leaves, rate, small
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.sources.small_encoder import SmallEncoder
from transfergrid.strategies.beside.side_tuning import SideTuning, blend
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture


@pytest.mark.proves("formula_exact", "side_tuning")
def test_the_blend_and_its_gradient():
    given, expected, tolerance = golden("side_tuning", "blend")
    base, side = (torch.tensor(given[name], dtype=torch.float64) for name in ("base", "side"))
    cases = zip(
        given["a"],
        expected["blend"],
        expected["gradient_wrt_a_of_first_component"],
        strict=True,
    )
    for value, blended, gradient in cases:
        a = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        found = blend(a, base, side)
        found[0].backward()
        assert found.tolist() == pytest.approx(blended, abs=1e-11)  # as many digits as are told
        assert a.grad.item() == pytest.approx(gradient, abs=1e-11)
    assert tolerance <= 1e-11


@pytest.mark.proves("trajectory_exact", "side_tuning")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_its_steps_are_those_of_a_plain_loop(on):
    run = trajectory(SideTuning, {"lr_factor": 0.5}, on)
    source, side = run.net().eval(), run.net()
    a = torch.zeros((), dtype=torch.float64, requires_grad=True)
    decay = {"params": list(side.parameters()), "weight_decay": 0.05}
    optimiser = torch.optim.AdamW([decay, {"params": [a], "weight_decay": 0.0}])
    for step, batch in enumerate(run.batches):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 0.5 * rate(step, 20)
        optimiser.zero_grad()
        x, share = batch.target.inputs, 1 / (1 + torch.exp(-a))
        both = share * source.features(x).detach() + (1 - share) * side.features(x)
        cross_entropy(side.head(both), batch.target.labels).backward()
        optimiser.step()
    still = {name: value for name, value in run.start.items() if name.startswith("backbone.")}
    learned = {name.replace("backbone.", "own."): w for name, w in side.state_dict().items()}
    same(run, {**still, **learned, "a": a})
    assert all(torch.equal(run.end[name].double(), value) for name, value in still.items())


def test_a_small_network_learns_in_the_place_of_the_copy():
    run = trajectory(SideTuning, {"encoder": SmallEncoder(), "lr_factor": 0.5})
    source, w = run.net().eval(), leaves(run.start, "own.", "widened.", "head.")
    w["a"] = torch.zeros((), dtype=torch.float64, requires_grad=True)
    decays = [value for name, value in w.items() if name != "a"]
    optimiser = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.05}, {"params": [w["a"]], "weight_decay": 0.0}]
    )
    for step, batch in enumerate(run.batches):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 0.5 * rate(step, 20)
        optimiser.zero_grad()
        x, share = batch.target.inputs, 1 / (1 + torch.exp(-w["a"]))
        side = small(w, x) @ w["widened.weight"].T
        both = share * source.features(x).detach() + (1 - share) * side
        said = both @ w["head.weight"].T + w["head.bias"]
        cross_entropy(said, batch.target.labels).backward()
        optimiser.step()
    still = {name: value for name, value in run.start.items() if name.startswith("backbone.")}
    same(run, {**still, **w})


def test_a_share_of_1_is_feature_extraction_and_0_the_side_alone():
    whole, probe = (Bench(kind).prepared(10) for kind in (SideTuning, FeatureExtraction))
    strategy, alone = whole.strategy.eval(), probe.strategy.eval()
    inputs = whole.data.train.inputs(whole.data.train.rows)
    with torch.no_grad():
        for value in strategy.own.parameters():
            value.add_(1.0)
        strategy.a.fill_(40.0)
        assert torch.equal(strategy.predict(inputs), alone.predict(inputs))
        strategy.a.fill_(-120.0)
        assert torch.equal(strategy.predict(inputs), strategy.head(strategy.own.embed(inputs)))
        assert strategy.tells() == {"alpha": 0.0}


def test_both_widths_may_differ():
    narrow = Bench(SideTuning, {"encoder": TinyArchitecture(width=3)}).prepared(10).strategy
    assert narrow.widened.weight.shape == (12, 6)
    copied = Bench(SideTuning).prepared(10).strategy
    assert not [*copied.widened.parameters()]
    theirs = copied.backbone.state_dict()
    assert all(torch.equal(theirs[name], w) for name, w in copied.own.state_dict().items())


def test_averaged_weights_of_what_learns_beside_have_statistics_of_their_own():
    setup = Bench(SideTuning, {"weight_averaging": 0.2}).set_up(5)
    Bench(SideTuning).driver(setup).run()
    own, data = setup.strategy.own.network, setup.data.train
    with torch.no_grad():
        made = own.conv1(data.inputs(data.rows))
    assert torch.allclose(own.bn1.running_mean, made.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(own.bn1.running_var, made.var((0, 2, 3)), rtol=1e-3)
