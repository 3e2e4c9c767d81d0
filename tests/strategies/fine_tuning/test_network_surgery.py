"""One side of a cut is the source's, the other is new, or left out (Yosinski et al. 2014)."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.strategies import ImpossibleError
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.network_surgery import Bottleneck, NetworkSurgery
from transfergrid.strategies.fine_tuning.self_transfer import SelfTransfer
from transfergrid.testing.bench import Bench, on_the_eve, state_of
from transfergrid.testing.conformance import run_check
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.testing.tiny_tokens import TinyTokenSource

BLOCKS = ("conv1", "bn1", "conv2", "bn2", "dense")
"""The tiny network's fine blocks."""
RATE = {"lr_factor": 1.0}
DROPPED = {"rest": "dropped"}
AT_TWO = {"cut": 2, "granularity": "fine"}


def tensors_of(setup, block):
    """Return parameters and buffers of one of the layers, or of the head."""
    state = setup.strategy.state_dict()
    place = "head" if block == "head" else f"backbone.network.{block}"
    return {n.removeprefix(place): t.clone() for n, t in state.items() if n.startswith(f"{place}.")}


def are_equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(t, other[n]) for n, t in one.items())


def eve(kind, source=None, **arguments):
    """Return a cell on the eve of the first step of its last phase, and what it began with."""
    bench = Bench(kind, {**RATE, **arguments}, **({"source": source} if source else {}))
    setup = bench.set_up(2)
    driver = bench.driver(setup)
    own = {block: tensors_of(setup, block) for block in (*BLOCKS, "head")}
    if len(driver.phases) == 3:  # a first training, then the cut
        driver._run(driver.phases[0], driver.lengths[0])
        own = {block: tensors_of(setup, block) for block in (*BLOCKS, "head")}
        driver.go_on()
        driver._run(driver.phases[1], 0)
    on_the_eve(driver, len(driver.phases) - 1)
    return setup, own


def table(kind, own, **arguments):
    """Return of each block whether it is copied, or new as `scratch` has it, and who learns."""
    setup, before = eve(kind, **arguments)
    source, scratch = Bench(FullFinetuning).set_up(2), Bench(Scratch).set_up(2)
    told = []
    for block in (*BLOCKS, "head"):
        now = tensors_of(setup, block)
        copied = are_equal(now, before[block] if own else tensors_of(source, block))
        if are_equal(now, tensors_of(scratch, block)):
            told.append("new")
            continue
        assert copied
        layer = dict(setup.strategy.backbone.network.named_children())[block]
        learns = any(p.requires_grad for p in layer.parameters())
        assert layer.training == learns
        told.append(f"{'own copy' if own else 'copied'} {'trained' if learns else 'frozen'}")
    return told


@pytest.mark.proves("formula_exact", "network_surgery")
@pytest.mark.proves("formula_exact", "self_transfer")
def test_the_arms():
    given, expected, _ = golden("network_surgery", "arms_at_cut_2")
    assert given["cut"] == AT_TWO["cut"]
    arms = {
        "AnB (transferred, frozen)": table(NetworkSurgery, False, kept="frozen", **AT_TWO),
        "AnB+ (transferred, tuned)": table(NetworkSurgery, False, kept="tuned", **AT_TWO),
        "BnB (self-transfer, frozen)": table(SelfTransfer, True, kept="frozen", **AT_TWO),
        "BnB+ (self-transfer, tuned)": table(SelfTransfer, True, kept="tuned", **AT_TWO),
        "base B": table(Scratch, False),
    }
    assert all(blocks.pop(4) == "new" for blocks in arms.values())  # one more than there
    assert arms == expected["arms"]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"cut": 0}, Scratch),
        ({"cut": 0, "kept": "frozen"}, Scratch),
        ({"cut": 3, "keep": "last"}, Scratch),
        ({"cut": 3, "kept": "frozen"}, FeatureExtraction),
        ({"cut": -3, "keep": "last", "kept": "frozen"}, FeatureExtraction),
        ({"cut": 3, "kept": "frozen", "rest": "dropped"}, FeatureExtraction),
        ({"cut": 5, "granularity": "fine"}, FullFinetuning),
        ({"cut": 0, "keep": "last"}, FullFinetuning),
    ],
)
def test_at_its_ends_it_is_what_there_was(arguments, kind):
    found, plain = Bench(NetworkSurgery, {**arguments, **RATE}).run(10), Bench(kind, RATE).run(10)
    assert are_equal(found.state, plain.state)
    assert torch.equal(found.predictions, plain.predictions)


def test_what_is_new_is_the_same_in_all_arms_and_from_all_sources():
    other = TinySource(domain=TinyDomain(shift=0.8))
    cells = [
        eve(NetworkSurgery, kept="frozen", **AT_TWO)[0],
        eve(NetworkSurgery, other, kept="tuned", **AT_TWO)[0],
        eve(SelfTransfer, kept="frozen", **AT_TWO)[0],
        eve(Scratch)[0],
    ]
    for block in ("conv2", "bn2", "dense", "head"):
        assert all(are_equal(tensors_of(cells[0], block), tensors_of(c, block)) for c in cells)


@pytest.mark.parametrize(
    ("arguments", "still"),
    [
        ({"cut": 1}, {"conv1", "bn1"}),
        ({"cut": 2}, {"conv1", "bn1", "conv2", "bn2"}),
        ({"cut": 2, "keep": "last"}, {"dense"}),
        ({"cut": -4, "granularity": "fine", "keep": "last"}, {"bn1", "conv2", "bn2", "dense"}),
    ],
)
def test_frozen_blocks_keep_every_bit_and_the_others_move(arguments, still):
    bench = Bench(NetworkSurgery, {"kept": "frozen", **arguments})
    setup = bench.set_up(10)
    start = state_of(setup.strategy)
    end = bench.learn(setup).state
    moved = {name for name, value in start.items() if not torch.equal(value, end[name])}
    layers = {name.removeprefix("backbone.network.").split(".")[0] for name in moved}
    assert layers == {*BLOCKS, "head"} - still


def test_the_card_is_of_the_source_and_not_of_what_is_made_of_it():
    cards = [Bench(kind).set_up(2).source_card for kind in (NetworkSurgery, FullFinetuning)]
    assert cards[0] == cards[1]


# What is left out --------------------------------------------------------------------------------


def images_of(setup):
    return setup.data.train.inputs(setup.data.train.rows)


def test_without_what_follows_the_head_sits_on_means_over_places():
    setup = Bench(NetworkSurgery, {"cut": 1, "rest": "dropped"}).set_up(10)
    strategy = setup.strategy.eval()
    layers = Bench(FullFinetuning).set_up(10).strategy.eval().backbone.network
    inputs = images_of(setup)
    maps = layers[:3](inputs)  # 6 of 4 by 4
    sums = sum(maps[:, :, i, j] for i in range(4) for j in range(4))
    torch.testing.assert_close(strategy.features(inputs), sums / 16)
    assert not any("dense" in name or "conv2" in name for name in strategy.state_dict())
    assert strategy.head.in_features == 6


def test_texts_without_what_follows_are_means_over_their_words():
    bench = Bench(NetworkSurgery, {"cut": 2, "rest": "dropped"}).on_texts()
    setup = bench.set_up(10)
    strategy, inputs = setup.strategy.eval(), images_of(setup)
    layers = Bench(FullFinetuning).on_texts().set_up(10).strategy.eval().backbone.network
    hidden = layers["body"](layers["words"](inputs["input_ids"]))
    lengths = inputs["attention_mask"].sum(1)
    means = [words[:n].mean(0) for words, n in zip(hidden, lengths, strict=True)]
    torch.testing.assert_close(strategy.features(inputs), torch.stack(means))


def test_a_new_stem_leads_to_what_is_left():
    bench = Bench(NetworkSurgery, {"cut": 1, "keep": "last", "rest": "dropped", "kept": "frozen"})
    setup = bench.set_up(10)
    start = state_of(setup.strategy)
    source = tensors_of(Bench(FullFinetuning).set_up(10), "conv2")
    assert torch.equal(start["backbone.network.rest.layers.conv2.weight"], source[".weight"])
    assert not any("conv1" in name for name in start)
    assert start["backbone.network.stem.0.weight"].shape == (6, 1, 2, 2)  # 8 by 8 to 4 by 4
    end = bench.learn(setup).state
    stems, kept = ([n for n in start if part in n] for part in (".stem.", ".rest."))
    assert len(stems) == 6
    assert not any(torch.equal(start[name], end[name]) for name in stems)
    assert all(torch.equal(start[name], end[name]) for name in kept)


def test_between_equal_layers_the_stem_stays():
    bench = Bench(NetworkSurgery, {"cut": 2, "keep": "last", "rest": "dropped"})
    bench.source = TinyTokenSource()
    setup = bench.set_up(10)
    strategy, inputs = setup.strategy.eval(), images_of(setup)
    whole = Bench(FullFinetuning, source=TinyTokenSource()).set_up(10).strategy.backbone.eval()
    assert len(whole.blocks("coarse")) == 3
    expected = whole.suffix(2, "coarse")(whole.prefix(1, "coarse")(inputs))
    torch.testing.assert_close(strategy.features(inputs), expected)
    stem, _, last = (block.name for block in whole.blocks("coarse"))
    assert [block.name for block in strategy.backbone.blocks("coarse")] == [stem, last]


@pytest.mark.parametrize("check", ["kept_and_used", "cut_and_resumed", "holds_on_numbers"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"cut": 2, "rest": "dropped", "neck": "mlp", "kept": "frozen"},
        {"cut": 1, "keep": "last", "rest": "dropped", "neck": "bottleneck"},
    ],
)
def test_shortened_networks_keep_the_rules(check, arguments):
    run_check(check, NetworkSurgery, **arguments)


# Necks and what cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("neck", "width", "shapes", "dim"),
    [
        ("linear", 5, [(5, 12), (5,)], 5),
        ("mlp", None, [(12, 12), (12,), (12, 12), (12,)], 12),
        ("bottleneck", None, [(3, 12), (3,), (12, 3), (12,)], 12),
    ],
)
def test_necks(neck, width, shapes, dim):
    bench = Bench(NetworkSurgery, {"neck": neck, "width": width, "kept": "frozen", "cut": 3})
    setup = bench.set_up(10)
    start = state_of(setup.strategy)
    end = bench.learn(setup).state
    names = [name for name in start if name.startswith("neck.")]
    assert [tuple(start[name].shape) for name in names] == shapes
    assert setup.strategy.head.in_features == dim
    assert all(not torch.equal(start[name], end[name]) for name in (*names, "head.weight"))


@pytest.mark.parametrize(
    "arguments",
    [{"neck": "mlp"}, {"neck": "bottleneck", "cut": 3}, {"cut": 1, "keep": "last", **DROPPED}],
)
def test_the_head_is_that_of_all_arms_with_features_as_wide(arguments):
    plain = Bench(FullFinetuning).set_up(2)
    found = Bench(NetworkSurgery, arguments).set_up(2)
    assert are_equal(tensors_of(found, "head"), tensors_of(plain, "head"))


def test_the_neck_is_the_same_in_all_arms():
    arms = [{"cut": 2}, {"cut": 3}, {"cut": 1, "keep": "last", **DROPPED}]
    necks = [
        Bench(NetworkSurgery, {"neck": "linear", **arm}).set_up(2).strategy.neck.state_dict()
        for arm in arms
    ]
    assert all(are_equal(necks[0], neck) for neck in necks[1:])


@pytest.mark.parametrize("keep", [{"cut": 3}, {"cut": 3, "keep": "last"}])
def test_what_is_left_of_a_coarse_block_is_one(keep):
    told = {**keep, "granularity": "fine", "kept": "frozen", **DROPPED}
    backbone = Bench(NetworkSurgery, told).set_up(2).strategy.backbone
    kept = {
        granularity: sorted(n for b in backbone.blocks(granularity) for n in b.parameters)
        for granularity in ("coarse", "fine")
    }
    assert kept["coarse"] == kept["fine"] == sorted(n for n, _ in backbone.named_parameters())


def test_a_bottleneck_begins_as_the_identity():
    features = torch.randn(4, 12)
    assert torch.equal(Bottleneck(12, 3)(features), features)


def test_a_cut_that_there_is_not_is_impossible():
    for cut in (4, -4):
        with pytest.raises(ImpossibleError, match="3 coarse blocks, so the cut is from 0 to 3"):
            Bench(NetworkSurgery, {"cut": cut}).set_up(2)
    with pytest.raises(ImpossibleError, match="leaves no block"):
        Bench(NetworkSurgery, {"cut": 0, "rest": "dropped"}).set_up(2)


def test_of_texts_the_stem_may_stay_but_not_go():
    arguments = {"keep": "last", "rest": "dropped"}
    setup = Bench(NetworkSurgery, {"cut": 2, **arguments}).on_texts().set_up(2)
    assert [b.name for b in setup.strategy.backbone.blocks()] == ["words", "dense"]
    with pytest.raises(ImpossibleError, match="no stem that leads to block 2"):
        Bench(NetworkSurgery, {"cut": 1, **arguments}).on_texts().set_up(2)


@pytest.mark.proves("trajectory_exact", "network_surgery")
@pytest.mark.parametrize(("on", "still"), [("images", ("conv1", "bn1")), ("texts", ("words",))])
def test_in_plain_torch(on, still):
    run = trajectory(NetworkSurgery, {"cut": 1, "kept": "frozen", "lr_factor": 0.5}, on)
    net = run.net()
    layers = dict(net.backbone.network.named_children())
    for name in still:
        layers[name].eval().requires_grad_(False)
    optimiser = adamw(([p for p in net.parameters() if p.requires_grad], 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, cosine(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, net)
