"""One stretch of blocks learns, the others keep every bit (Lee et al. 2023)."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.records.errors import BadInputError
from transfergrid.strategies import ImpossibleError
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.network_surgery import NetworkSurgery
from transfergrid.strategies.fine_tuning.partial_finetuning import PartialFinetuning
from transfergrid.strategies.fine_tuning.self_transfer import SelfTransfer
from transfergrid.strategies.still import still_blocks
from transfergrid.testing.bench import Bench, state_of

LAYERS = {"stem": ("conv1", "bn1"), "body": ("conv2", "bn2"), "neck": ("dense",)}
"""The tiny network's coarse blocks; its fine ones are the five layers in this order."""


def moved(**arguments):
    """Return the layers of which anything changed, running statistics too, and the head."""
    bench = Bench(PartialFinetuning, arguments)
    setup = bench.set_up(10)
    start = state_of(setup.strategy)
    end = bench.learn(setup).state
    changed = {name for name, value in start.items() if not torch.equal(value, end[name])}
    return {name.removeprefix("backbone.network.").split(".")[0] for name in changed}


@pytest.mark.parametrize(
    ("blocks", "block"),
    [
        ("first", "stem"),
        ("middle", "body"),
        ("last", "neck"),
        ([1, 1], "stem"),
        ([-1, -1], "neck"),
        ([-2, 2], "body"),
    ],
)
def test_one_block_learns_and_the_others_keep_every_bit(blocks, block):
    assert moved(blocks=blocks) == {*LAYERS[block], "head"}


def test_a_stretch_of_fine_blocks():
    assert moved(blocks=[2, 3], granularity="fine") == {"bn1", "conv2", "head"}
    assert moved(blocks=[1, -2]) == {*LAYERS["stem"], *LAYERS["body"], "head"}


def test_all_blocks_are_full_finetuning():
    rate = {"lr_factor": 1.0}
    full = Bench(FullFinetuning, rate).run(10).state
    for blocks in ("all", [1, 3]):
        state = Bench(PartialFinetuning, {"blocks": blocks, **rate}).run(10).state
        assert all(torch.equal(state[name], value) for name, value in full.items())


@pytest.mark.parametrize(("blocks", "still"), [("first", 0), ("middle", 2), ("last", 4)])
def test_leading_frozen_blocks_can_be_run_ahead(blocks, still):
    strategy = Bench(PartialFinetuning, {"blocks": blocks}).set_up(10).strategy
    assert still_blocks(strategy, strategy.phases()[0]) == still


@pytest.mark.parametrize("blocks", [[0, 1], [3, 2], [-1, -2]])
def test_what_is_no_stretch_is_refused(blocks):
    with pytest.raises(BadInputError, match="FROM before TO"):
        PartialFinetuning(blocks=blocks)


def test_a_place_by_another_name_is_refused():
    with pytest.raises(BadInputError, match="first, or middle, or last, or all"):
        PartialFinetuning(blocks="midle")
    with pytest.raises(BadInputError, match=r"\[FROM, TO\]"):
        PartialFinetuning(blocks=[1, 2, 3])


@pytest.mark.parametrize("blocks", [[2, 4], [-4, 1], [-1, 4]])
def test_blocks_that_the_network_does_not_have_are_impossible(blocks):
    with pytest.raises(ImpossibleError, match="3 coarse blocks, numbered from 1 to 3"):
        Bench(PartialFinetuning, {"blocks": blocks}).set_up(10)


def test_a_stretch_that_ends_before_it_begins_is_told_in_numbers_of_blocks():
    with pytest.raises(ImpossibleError, match="3 coarse blocks, of which that is 3 to 2: give"):
        Bench(PartialFinetuning, {"blocks": [3, -2]}).set_up(10)


@pytest.mark.parametrize("kind", [PartialFinetuning, NetworkSurgery, SelfTransfer])
def test_it_says_that_not_every_network_has_such_blocks(kind):
    assert kind.needs.are_choosy


@pytest.mark.proves("trajectory_exact", "partial_finetuning")
@pytest.mark.parametrize(
    ("on", "still", "learns"),
    [
        ("images", ("conv1", "bn1", "dense"), ("conv2", "bn2")),
        ("texts", ("words", "dense"), ("body",)),
    ],
)
def test_the_middle_of_it_in_plain_torch(on, still, learns):
    run = trajectory(PartialFinetuning, {"blocks": "middle", "lr_factor": 0.5}, on)
    net = run.net()
    layers = dict(net.backbone.network.named_children())
    for name in still:
        layers[name].eval().requires_grad_(False)
    own = [p for name in learns for p in layers[name].parameters()]
    optimiser = adamw(([*own, *net.head.parameters()], 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, cosine(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, net)
