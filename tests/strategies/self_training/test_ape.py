"""Attraction, perturbation, exploration (Kim & Kim 2020)."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.training import Training
from transfergrid.strategies.self_training.ape import (
    Ape,
    attraction,
    divergence,
    entropy,
    exploration,
)
from transfergrid.testing.bench import Bench


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "ape")
def test_attraction_is_a_biased_distance_under_four_kernels():
    given, expected, tolerance = golden("ape", "parts")
    source, target = exact(given["source_features"]), exact(given["target_features"])
    found = attraction(source, target).item()
    assert found == pytest.approx(expected["mmd2_biased"], abs=tolerance)
    assert 10.0 * found == pytest.approx(expected["attraction"], abs=10 * tolerance)
    assert attraction(source, source).item() == pytest.approx(0.0, abs=1e-12)


def test_attraction_takes_batches_of_unequal_sizes():
    """An example that is there twice counts as it does in a mean."""
    one, other = torch.randn(3, 4).double(), torch.randn(5, 4).double()
    twice = attraction(torch.cat([one, one]), other)
    torch.testing.assert_close(twice, attraction(one, other))


@pytest.mark.proves("formula_exact", "ape")
def test_exploration_learns_what_is_sure():
    given, expected, tolerance = golden("ape", "parts")
    logits, threshold = exact(given["unlabelled_logits"]), given["entropy_threshold"]
    assert entropy(logits).tolist() == pytest.approx(expected["entropy"], abs=1e-9)
    assert (entropy(logits) < threshold).tolist() == expected["reliable"]
    found = exploration(logits, threshold).item()
    assert found == pytest.approx(expected["exploration"], abs=tolerance)
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(exploration(logits, threshold), logits)
    assert slope[0].ne(0).all()
    assert slope[1:].eq(0).all()
    assert exploration(logits, 0.01).item() == 0.0


@pytest.mark.proves("formula_exact", "ape")
def test_the_divergence_is_a_mean_over_batch_and_columns():
    given, expected, tolerance = golden("ape", "parts")
    clean, perturbed = exact(given["clean"]), exact(given["perturbed"])
    found = 10.0 * divergence(clean, perturbed).item()
    assert found == pytest.approx(expected["perturbation_mean_over_elements"], abs=tolerance)
    rows = [
        3.0 * divergence(*pair).item()
        for pair in zip(clean.split(1), perturbed.split(1), strict=True)
    ]
    assert rows == pytest.approx(expected["kl_clean_to_perturbed"], abs=tolerance)
    other = 10.0 * divergence(perturbed, clean).item()
    assert other != pytest.approx(found, rel=1e-2)  # which way it goes


def test_the_threshold_is_a_share_of_the_largest_entropy():
    """0.1 of log C is what the authors' 0.5 nats are of their 126 classes."""
    assert pytest.approx(0.5, abs=0.02) == 0.1 * math.log(126)
    (moment,) = Bench(Ape, {"threshold": 0.7}).moments(10)
    strategy, seen = moment.strategy.eval(), []
    strategy.explore = 0.0
    plain = strategy.loss(moment.batch, 0.0).item()
    strategy.explore = 1.0
    other = strategy.predict(moment.batch.unlabelled)
    nats = 0.7 * math.log(3)
    sure = [row for row in other if entropy(row[None]).item() < nats]
    for row in sure:
        seen.append(torch.nn.functional.cross_entropy(row[None], row.argmax()[None]).item())
    assert len(sure) > 0
    expected = plain + sum(seen) / len(seen)
    assert strategy.loss(moment.batch, 0.0).item() == pytest.approx(expected, abs=1e-4)


def test_its_head_is_of_length_1_and_has_no_bias():
    run = Bench(Ape, {"temperature": 0.2}).run(10)
    strategy, view = run.setup.strategy.eval(), run.setup.data.unlabelled
    inputs = view.inputs(view.rows[:4])
    features = strategy.features(inputs)
    expected = normalize(features) @ strategy.head.weight.T / 0.2
    torch.testing.assert_close(strategy.predict(inputs), expected)
    assert "head.bias" not in strategy.state_dict()


def test_the_perturbation_raises_the_entropy_by_a_step_of_the_radius():
    (moment,) = Bench(Ape, {"radius": 0.3}).moments(10)
    strategy, inputs = moment.strategy.double().eval(), moment.batch.unlabelled.double()
    torch.manual_seed(1)
    way = strategy._uphill(inputs)
    assert way.square().mean((1, 2, 3)).sqrt().tolist() == pytest.approx([0.3] * len(way))
    again = strategy._uphill(inputs)
    assert torch.equal(way, again)  # drawn once for a step
    torch.manual_seed(2)
    assert not torch.allclose(way, strategy._uphill(inputs))
    assert not any(parameter.grad is not None for parameter in strategy.parameters())


def test_the_way_is_that_of_finite_differences():
    """At the place where it is taken, no other unit way is as steep as the one that is gone."""
    (moment,) = Bench(Ape, {"radius": 1.0}).moments(10)
    strategy, inputs = moment.strategy.double().eval(), moment.batch.unlabelled[:1].double()
    seen = []
    features = strategy.features
    strategy.features = lambda x, recorded=True: seen.append(x) or features(x, recorded)
    way = strategy._uphill(inputs) / math.sqrt(inputs.numel())
    (place,) = (x.detach() for x in seen)
    assert (place - inputs).norm().item() == pytest.approx(1.0)

    def steep(direction):
        ends = (strategy.predict(place + sign * 1e-5 * direction) for sign in (1.0, -1.0))
        up, down = (entropy(logits).item() for logits in ends)
        return (up - down) / 2e-5

    slopes = torch.tensor([steep(d.view_as(place)) for d in torch.eye(64).double()])
    torch.testing.assert_close(way.flatten(), (slopes / slopes.norm()).double(), atol=1e-5, rtol=0)


def test_the_second_step_is_of_the_backbone_alone_and_both_sides_learn():
    (moment,) = Bench(Ape).moments(10)
    first, second = moment.phase.objectives
    assert [group.name for group in second.learns] == ["backbone"]
    assert {group.name for group in first.learns} == {"head", "backbone"}
    strategy, batch = moment.strategy.eval(), moment.batch
    made = []
    features = strategy.features

    def noted(inputs, recorded=True):
        made.append(features(inputs, recorded))
        return made[-1]

    strategy.features = noted
    loss = strategy.of_perturbation(batch, 0.0)
    both = len(batch.target.labels) + len(batch.unlabelled)
    assert [len(part) for part in made] == [both] * 3  # labelled targets too
    _, clean, perturbed = made
    assert all(g.ne(0).any() for g in torch.autograd.grad(loss, [clean, perturbed]))
    expected = 10.0 * divergence(clean, normalize(perturbed, dim=1))
    torch.testing.assert_close(loss, expected)


def test_without_perturbation_there_is_no_second_step():
    """A second step without a gradient would still decay weights."""
    assert len(Bench(Ape, {"perturb": 0.0}).set_up(10).strategy.phases()[0].objectives) == 1


def test_statistics_are_those_of_labelled_inputs():
    plan = Training(steps=4, batch_size=8, lr=1e-12)
    free, full = (Bench(Ape, {"perturb": b}, training=plan).run(10).state for b in (0.0, 10.0))
    name = "backbone.network.bn1.running_mean"
    assert torch.equal(free[name], full[name])


def test_texts_cannot_be_perturbed():
    with pytest.raises(ImpossibleError, match="tokens of texts"):
        Bench(Ape).on_texts().set_up(10)
