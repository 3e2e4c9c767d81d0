"""head([f(x), h(x)]), f frozen (Xu et al. 2025), and the same encoder without a source."""

import pytest
import torch
from beside_loops import adamw, leaves, rate, small
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.training import Training
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.small_encoder import SmallEncoder
from transfergrid.strategies.baselines.scratch_small import ScratchSmall
from transfergrid.strategies.beside.progressive_networks import ProgressiveNetworks
from transfergrid.strategies.beside.refine import Refine, on_both
from transfergrid.strategies.beside.side_tuning import SideTuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture


@pytest.mark.proves("formula_exact", "refine")
def test_the_head_is_on_both_embeddings():
    given, expected, tolerance = golden("refine", "form")
    source, own, weight, bias = (
        torch.tensor(given[name], dtype=torch.float64)
        for name in ("f_rep", "h", "head_w", "head_b")
    )
    head = nn.Linear(3, 1).double()
    head.load_state_dict({"weight": weight, "bias": bias})
    assert on_both(head, source, own).tolist() == [
        pytest.approx(expected["logits"][0], abs=tolerance)
    ]
    assert on_both(head, source, 0 * own).tolist() == [
        pytest.approx(expected["with_h_zero"][0], abs=tolerance)
    ]


@pytest.mark.proves("trajectory_exact", "refine")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_its_steps_are_those_of_a_plain_loop(on):
    run = trajectory(Refine, {"lr_factor": 0.5}, on)
    source, w = run.net().eval(), leaves(run.start, "own.", "head.")
    optimiser = adamw(w)
    for step, batch in enumerate(run.batches):
        optimiser.param_groups[0]["lr"] = 0.02 * 0.5 * rate(step, 20)
        optimiser.zero_grad()
        x = batch.target.inputs
        both = torch.cat([source.features(x).detach(), small(w, x)], 1)
        said = both @ w["head.weight"].T + w["head.bias"]
        cross_entropy(said, batch.target.labels).backward()
        optimiser.step()
    still = {name: value for name, value in run.start.items() if name.startswith("backbone.")}
    same(run, {**still, **w})
    assert all(torch.equal(run.end[name].double(), value) for name, value in still.items())


@pytest.mark.proves("trajectory_exact", "scratch_small")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_the_steps_of_the_encoder_alone_are_those_of_a_plain_loop(on):
    run = trajectory(ScratchSmall, {"lr_factor": 0.5}, on)
    own = {name.replace("backbone.", "own."): value for name, value in run.start.items()}
    w = leaves(own, "own.", "head.")
    optimiser = adamw(w)
    for step, batch in enumerate(run.batches):
        optimiser.param_groups[0]["lr"] = 0.02 * 0.5 * rate(step, 20)
        optimiser.zero_grad()
        said = small(w, batch.target.inputs) @ w["head.weight"].T + w["head.bias"]
        cross_entropy(said, batch.target.labels).backward()
        optimiser.step()
    same(run, {name.replace("own.", "backbone."): value for name, value in w.items()})


@pytest.mark.parametrize("on", ["images", "texts"])
def test_a_head_that_ignores_the_source_is_scratch_with_the_same_encoder(on):
    whole, alone = (
        (Bench(kind) if on == "images" else Bench(kind).on_texts()).prepared(10)
        for kind in (Refine, ScratchSmall)
    )
    refine, scratch = whole.strategy.eval(), alone.strategy.eval()
    ours, theirs = refine.own.state_dict(), scratch.backbone.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    with torch.no_grad():
        refine.head.weight[:, : refine.backbone.dim] = 0
        refine.head.weight[:, refine.backbone.dim :] = scratch.head.weight
        refine.head.bias.copy_(scratch.head.bias)
        inputs = whole.data.train.inputs(whole.data.train.rows)
        assert torch.allclose(refine.predict(inputs), scratch.predict(inputs), atol=1e-6)
    assert not any("source" in name for name in scratch.state_dict())
    assert scratch.backbone is alone.backbone


@pytest.mark.parametrize(
    ("augmentation", "views", "asked"), [("none", None, 30), ("light", None, 64)]
)
def test_the_source_is_asked_of_each_example_once_where_it_is_met_as_it_was(
    augmentation, views, asked, monkeypatch
):
    plan = Training(steps=8, batch_size=8, augmentation=augmentation, views=views)
    bench = Bench(Refine, training=plan)
    setup, seen = bench.set_up(10), []
    backbone = setup.strategy.backbone
    embed = backbone.embed
    monkeypatch.setattr(
        backbone,
        "embed",
        lambda inputs: seen.append((len(inputs), torch.is_grad_enabled())) or embed(inputs),
    )
    setup.data.validation = None
    bench.driver(setup).run()
    assert sum(n for n, _ in seen) <= asked
    assert not any(grad for _, grad in seen)


def test_an_encoder_of_ones_own_takes_the_same_inputs():
    Bench(Refine, {"encoder": TinyArchitecture(width=3)}).prepared(10)
    with pytest.raises(BadInputError, match=r"small_cnn stands beside .* same inputs"):
        Bench(Refine, {"encoder": SmallCNN()}).set_up(10)
    wide = Bench(Refine, {"encoder": SmallEncoder(width=128)}).set_up(10).strategy
    assert wide.own.dim == 128


@pytest.mark.parametrize("kind", [Refine, SideTuning, ProgressiveNetworks])
@pytest.mark.parametrize("key", ["layer_decay", "l2_sp", "probe_first"])
def test_what_needs_a_source_that_learns_is_refused(kind, key):
    told = {"layer_decay": 0.5, "l2_sp": 0.1, "probe_first": 1.0}
    with pytest.raises(ImpossibleError, match=f"{key} cannot be added: the (source|head) "):
        Bench(kind, {key: told[key]}).set_up(5)
