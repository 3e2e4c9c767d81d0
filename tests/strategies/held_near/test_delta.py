"""Maps stay those of the source, the channels that matter most of all (Li et al. 2019)."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.training import Training
from transfergrid.sources.backbone import evaluating
from transfergrid.strategies import BadInputError, ImpossibleError
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near import delta
from transfergrid.strategies.held_near.delta import DELTA, attention_of, behaviour
from transfergrid.strategies.maps import as_map
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyBackbone


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "delta")
def test_the_penalty_weighs_channels_and_sums_over_the_batch():
    given, expected, tolerance = golden("delta", "feature_penalty")
    theirs, ours = (
        as_map(exact(given[f"feature_map_{side}"]), exact([0.0])) for side in ("source", "target")
    )
    found = behaviour(theirs, ours, exact(given["channel_weights"]))
    assert found.sum().item() == pytest.approx(expected["tllib_sum_over_batch"], abs=tolerance)
    assert found.mean().item() == pytest.approx(expected["mean_over_batch"], abs=tolerance)
    uniform = behaviour(theirs, ours, torch.full((3,), 1 / 3, dtype=torch.float64)).sum().item()
    wanted = expected["uniform_weights_sum_over_batch"]
    assert uniform == pytest.approx(wanted, abs=tolerance)


@pytest.mark.proves("formula_exact", "delta")
def test_padding_does_not_count():
    """Two of three tokens are real: 2 / (2 * 2) * (.75 * (1 + 4) + .25 * (9 + 0)) = 3."""
    mask = {"attention_mask": torch.tensor([[1, 1, 0]])}
    ours = as_map(exact([[[1.0, 3.0], [2.0, 0.0], [50.0, 60.0]]]), mask)
    theirs = as_map(torch.zeros(1, 3, 2, dtype=torch.float64), mask)
    assert behaviour(theirs, ours, exact([0.75, 0.25])).tolist() == pytest.approx([3.0])


def test_attention_is_a_softmax_of_standardised_rises():
    """Rises 0, 1, 2 are -s, 0, s with s = sqrt(3/2)."""
    e = torch.tensor([-(1.5**0.5) / 5, 0.0, 1.5**0.5 / 5], dtype=torch.float64).exp()
    assert attention_of(exact([0.0, 1.0, 2.0])).tolist() == pytest.approx((e / e.sum()).tolist())
    assert attention_of(exact([2.0, 2.0])).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("texts", [False, True])
def test_channels_are_silenced_one_by_one_in_the_source(texts, monkeypatch):
    """The loss without a channel is that of a pass in which a hook puts it to zero."""
    head = []
    fit = delta.logistic_head
    monkeypatch.setattr(delta, "logistic_head", lambda *a: head.append(fit(*a)) or head[-1])
    bench = Bench(DELTA, {"examples": 1000})
    bench = bench.on_texts() if texts else bench
    setup = bench.prepared(10)
    strategy, view = setup.strategy, setup.data.train
    inputs, labels = view.inputs(view.rows), torch.from_numpy(view.labels)
    weight, bias = (torch.from_numpy(part).float() for part in head[0])
    network = strategy.start.network
    blocks = [network["words"], network["body"]] if texts else [network[2], network[7]]
    for cut, block in enumerate(blocks, 1):
        rises = []
        for channel in range(len(strategy.attended(cut))):
            losses = []
            for silent in (None, channel):
                hook = block.register_forward_hook(silence(silent, texts))
                with evaluating(strategy.start), torch.no_grad():
                    logits = strategy.start.embed(inputs) @ weight.T + bias
                losses.append(cross_entropy(logits, labels))
                hook.remove()
            rises.append(losses[1] - losses[0])
        wanted = attention_of(torch.stack(rises))
        assert (strategy.attended(cut) - wanted).abs().max() < 1e-3
        assert wanted.max() > 1.2 * wanted.min()


def silence(channel, texts):
    def hook(module, inputs, output):
        output = output.clone()
        if channel is not None:
            output.select(2 if texts else 1, channel).zero_()
        return output

    return hook


def test_without_weights_it_is_fine_tuning_without_decay():
    plan = Training(steps=6, batch_size=8, weight_decay=0.0)
    free = Bench(DELTA, {"alpha": 0.0, "beta": 0.0, "lr_factor": 0.3}, training=plan).run(10)
    plain = Bench(FullFinetuning, {"lr_factor": 0.3}, training=plan).run(10)
    assert all(torch.equal(value, free.state[name]) for name, value in plain.state.items())


def test_the_default_ends_elsewhere_and_the_source_stands_still():
    held, plain = Bench(DELTA).run(10), Bench(FullFinetuning).run(10)
    assert not torch.equal(held.predictions, plain.predictions)
    begun = Bench(DELTA).set_up(10).backbone.state_dict()
    start = held.setup.strategy.start.state_dict()
    assert all(torch.equal(value, start[name]) for name, value in begun.items())


def test_parts_of_a_batch_have_the_pull_of_the_whole():
    (moment,) = Bench(DELTA, {"alpha": 0.1}).moments(10)
    strategy, batch = moment.strategy.eval(), moment.batch
    assert strategy.times == len(batch.target.labels) == 8
    mean = Bench(DELTA, {"alpha": 0.8, "reduction": "mean"}).set_up(10).strategy
    mean.load_state_dict(strategy.state_dict())
    assert torch.allclose(mean.eval().loss(batch, 0.0), strategy.loss(batch, 0.0))


def test_a_network_that_cannot_be_cut_is_impossible(monkeypatch):
    def refuse(self, inputs, granularity="coarse"):
        raise BadInputError("tiny cannot be cut: it is one block")

    monkeypatch.setattr(TinyBackbone, "boundaries", refuse)
    with pytest.raises(ImpossibleError, match="compares maps between blocks, and tiny cannot"):
        Bench(DELTA).set_up(10)


def test_some_examples_are_drawn_by_the_seed():
    one, other, all_of_them = (
        Bench(DELTA, {"examples": n}).prepared(10).strategy.attended(1) for n in (6, 6, 24)
    )
    assert torch.equal(one, other)
    assert not torch.equal(one, all_of_them)


@pytest.mark.parametrize(("maps", "cuts"), [(1, [3]), (2, [2, 3]), (9, [1, 2, 3])])
def test_maps_are_spread_and_the_last_is_the_embedding(maps, cuts):
    assert Bench(DELTA, {"maps": maps}).set_up(10).strategy.cuts == cuts


@pytest.mark.proves("trajectory_exact", "delta")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_twenty_steps_are_those_of_plain_torch(on):
    told = {"alpha": 0.02, "beta": 0.2, "lr_factor": 0.5}
    run = trajectory(DELTA, told, on, schedule="constant")
    net, source = run.net(), run.net().eval()
    attention = [run.end[f"scaffold.attention_{cut}"] for cut in (1, 2, 3)]

    def maps(net, x):
        layers = net.backbone.network
        if on == "images":
            one = layers[:3](x)
            two = layers[3:8](one)
            return [one.flatten(2), two.unsqueeze(2), layers[8:](two).unsqueeze(2)]
        one, real = layers["words"](x["input_ids"]), x["attention_mask"].unsqueeze(2)
        two = layers["body"](one)
        last = layers["dense"]((two * real).sum(1) / real.sum(1))
        n = real.sum(1, keepdim=True)
        scale = (two.shape[1] / n).sqrt() * real  # so that the mean is over real tokens
        return [(part * scale).mT for part in (one, two)] + [last.unsqueeze(2)]

    optimiser = torch.optim.AdamW(net.parameters(), 0.01, weight_decay=0.0)
    for batch in run.batches:
        optimiser.zero_grad()
        ours = maps(net, batch.target.inputs)
        with torch.no_grad():
            theirs = maps(source, batch.target.inputs)
        loss = cross_entropy(net.head(ours[-1][..., 0]), batch.target.labels)
        for a, one, other in zip(attention, ours, theirs, strict=True):
            channels, places = one.shape[1:]
            squares = (one - other).pow(2).sum((0, 2))
            loss = loss + 0.02 * 0.5 * channels / places * (a * squares).sum()
        for weight in net.head.parameters():
            loss = loss + 0.1 * weight.pow(2).sum()
        loss.backward()
        optimiser.step()
    same(run, net)
