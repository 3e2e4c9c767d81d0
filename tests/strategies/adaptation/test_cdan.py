"""A discriminator of features and predictions together (Long et al. 2018)."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from golden import golden
from transfergrid.strategies.adaptation.cdan import (
    Cdan,
    entropy_weights,
    multilinear_map,
    randomised_map,
)
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench

OPTIONS = pytest.mark.parametrize(
    "options",
    [{}, {"entropy": "per_domain"}, {"entropy": "joint"}, {"entropy": "joint", "randomised": 9}],
)


def doubles(given, *names):
    return [torch.tensor(given[name], dtype=torch.float64) for name in names]


@pytest.mark.proves("formula_exact", "cdan")
def test_the_map_is_each_feature_times_each_probability():
    given, expected, tolerance = golden("cdan", "multilinear_map")
    logits, features = doubles(given, "logits", "features")
    found = multilinear_map(features, logits.softmax(1))
    (wanted,) = doubles(expected, "map_class_major")
    assert torch.allclose(found, wanted, atol=tolerance, rtol=0)


@pytest.mark.proves("formula_exact", "cdan")
def test_the_random_map_is_the_papers():
    given, expected, tolerance = golden("cdan", "randomised_map")
    features, said, *maps = doubles(given, "features", "probabilities", "Rf", "Rg")
    (wanted,) = doubles(expected, "output")
    found = randomised_map(features, said, maps)
    assert torch.allclose(found, wanted, atol=tolerance, rtol=0)


def test_random_maps_keep_inner_products_in_the_mean():
    """What makes one stand for the product, its scale included (the paper's theorem 1)."""
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(2, 4, generator=rng, dtype=torch.float64)
    said = torch.randn(2, 3, generator=rng, dtype=torch.float64).softmax(1)
    maps = [torch.randn(n, 200_000, generator=rng, dtype=torch.float64) for n in (4, 3)]
    mapped, full = randomised_map(features, said, maps), multilinear_map(features, said)
    assert torch.allclose(mapped @ mapped.T, full @ full.T, atol=0.03)


@pytest.mark.proves("formula_exact", "cdan")
def test_weights_of_a_sure_and_of_an_unsure_prediction():
    """1 + e^0 = 2 and 1 + e^-log 2 = 3/2: by domain each has half, jointly the surer has more."""
    said = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]], dtype=torch.float64)
    found = entropy_weights(said, 2, "per_domain")
    assert found.tolist() == pytest.approx([8 / 7, 6 / 7, 1.0, 1.0], abs=1e-12)
    found = entropy_weights(said, 2, "joint")
    assert found.tolist() == pytest.approx([16 / 13, 12 / 13, 12 / 13, 12 / 13], abs=1e-12)
    found = entropy_weights(said, 1, "per_domain")  # domains of one and of three
    assert found.tolist() == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3], abs=1e-12)


@pytest.fixture
def moment():
    """Return a function that makes an attached strategy and a batch, all in float64."""

    def made(options, kind=Cdan):
        bench = Bench(kind, {"hidden": 5, **options})
        setup = bench.set_up(0)
        batch = bench.batch(setup.data)
        (source,) = batch.source
        source.inputs, batch.unlabelled = source.inputs.double(), batch.unlabelled.double()
        return setup.strategy.double().eval(), batch

    return made


@pytest.mark.parametrize("entropy", [None, "per_domain", "joint"])
def test_where_predictions_are_uniform_it_is_dann(moment, entropy):
    """The same discriminator, its first weights once a class: the same loss and gradient."""
    strategy, batch = moment({"entropy": entropy})
    plain, _ = moment({}, DomainAdversarial)
    strategy.head.load_state_dict({n: 0 * v for n, v in strategy.head.state_dict().items()})
    critic = plain.scaffold["discriminator"].state_dict()
    critic["0.weight"] = critic["0.weight"].repeat(1, 3)
    strategy.scaffold["discriminator"].load_state_dict(critic)
    points = [plain.features(x).detach() for x in (batch.source[0].inputs, batch.unlabelled)]
    slopes, values = [], []
    for own in (strategy, plain):
        one, two = (part.clone().requires_grad_() for part in points)
        value = own.domain_loss(one, two, 0.4)
        values.append(value.item())
        slopes.append(torch.cat(torch.autograd.grad(value, [one, two])))
    assert values[0] == pytest.approx(values[1], abs=1e-12)
    assert torch.allclose(slopes[0], slopes[1], atol=1e-14)


@OPTIONS
def test_features_climb_what_the_discriminator_descends(moment, options):
    """By finite differences, predictions standing still: they are told, not learned."""
    strategy, batch = moment(options)
    points = [strategy.features(x).detach() for x in (batch.source[0].inputs, batch.unlabelled)]
    said = strategy.head(torch.cat(points)).softmax(1).detach()
    sure = 1 + (said * said.log()).sum(1).exp() if options else torch.ones(len(said)).double()
    if options.get("entropy") == "per_domain":
        share = torch.cat([part / part.sum() / 2 for part in sure.split([*map(len, points)])])
    else:
        share = sure / sure.sum()
    names = ("scaffold.of_features", "scaffold.of_classes")
    maps = [strategy.state_dict()[n] for n in names] if "randomised" in options else None

    def domain():
        both = torch.cat(points)
        if maps:
            seen = (both @ maps[0]) * (said @ maps[1]) / math.sqrt(9)
        else:
            seen = torch.einsum("bk,bd->bkd", said, both).flatten(1)
        truth = torch.cat([torch.ones(len(points[0])), torch.zeros(len(points[1]))]).double()
        logits = strategy.scaffold["discriminator"](seen)[:, 0]
        every = binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return (share * every).sum().item()

    def slope(tensor, place):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor[place] += sign * 1e-6
                values.append(domain())
                tensor[place] -= sign * 1e-6
        return (values[0] - values[1]) / 2e-6

    source, target = (part.clone().requires_grad_() for part in points)
    loss = strategy.domain_loss(source, target, 0.3)
    assert loss.item() == pytest.approx(domain(), abs=1e-12)
    loss.backward()
    for part, own in ((points[0], source), (points[1], target)):
        for place in [(0, 0), (5, 7)]:
            expected = -(2 / (1 + math.exp(-3)) - 1) * slope(part, place)
            assert own.grad[place].item() == pytest.approx(expected, rel=1e-5, abs=1e-11)
    weight = strategy.scaffold["discriminator"][0].weight
    assert weight.grad[2, 4].item() == pytest.approx(slope(weight, (2, 4)), rel=1e-5, abs=1e-11)
    assert all(p.grad is None for p in strategy.head.parameters())


def test_random_maps_are_drawn_once_kept_and_never_trained():
    first, second = (Bench(Cdan, {"randomised": 7}).trained(0) for _ in range(2))
    start = first.notes.starts[0]
    for name in ("scaffold.of_features", "scaffold.of_classes"):
        assert torch.equal(first.state[name], start[name])
        assert torch.equal(first.state[name], second.state[name])
        assert name not in dict(first.setup.strategy.named_parameters())
    drawn = first.state["scaffold.of_features"]
    assert drawn.shape == (12, 7)
    assert abs(drawn.std().item() - 1) < 0.25


@OPTIONS
@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(options, labels, baseline):
    adapted = Bench(Cdan, {"weight": 0.0, **options}).run(labels)
    plain = Bench(baseline).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())


def test_with_weight_each_option_is_another():
    told = [{}, {"entropy": "per_domain"}, {"randomised": 9}]
    runs = [Bench(Cdan, options).run(0).predictions for options in told]
    runs.append(Bench(SourceOnly).run(0).predictions)
    runs.append(Bench(DomainAdversarial).run(0).predictions)
    assert len({tuple(run.flatten().tolist()) for run in runs}) == 5
