"""The head climbs the entropy of unlabelled inputs, the features descend it (Saito et al. 2019)."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.strategies.self_training.entropy_minimization import entropies
from transfergrid.strategies.self_training.mme import Mme, NormalisedHead
from transfergrid.testing.bench import Bench


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def published():
    """A strategy whose head is the published one, a batch that is its own features, all values."""
    given, expected, tolerance = golden("mme", "gradients")
    told = {"weight": given["weight"], "temperature": given["temperature"]}
    bench = Bench(Mme, told)
    strategy, batch = bench.set_up(0).strategy, bench.batch(bench.set_up(0).data)
    strategy.head = NormalisedHead(2, 3, given["temperature"]).double()
    strategy.head.weight.data = exact(given["classifier"]).T.clone()
    strategy.features = lambda inputs, recorded=True: inputs
    batch.unlabelled = exact(given["features"]).requires_grad_()
    return strategy, batch, expected, tolerance


@pytest.mark.proves("formula_exact", "mme")
def test_logits_and_entropy_are_the_published_ones(published):
    strategy, batch, expected, tolerance = published
    logits = strategy.head(batch.unlabelled)
    for row, own in zip(logits.tolist(), expected["logits"], strict=True):
        assert row == pytest.approx(own, abs=tolerance)
    mean = entropies(logits).mean().item()
    assert mean == pytest.approx(expected["mean_entropy"], abs=tolerance)
    strategy.head.temperature = 1.0
    warm = entropies(strategy.head(batch.unlabelled)).mean().item()
    assert warm == pytest.approx(expected["mean_entropy_at_temperature_1"], abs=tolerance)


@pytest.mark.proves("formula_exact", "mme")
def test_each_side_descends_the_published_gradient(published):
    strategy, batch, expected, tolerance = published
    features, head = batch.unlabelled, strategy.head.weight
    loss = strategy.weight * strategy.unlabelled_loss(batch, 0.5)
    assert loss.item() == 0.0  # what one side gains the other one loses
    of_features, of_head = torch.autograd.grad(loss, [features, head])
    for row, own in zip(of_head.T.tolist(), expected["gradient_used_by_classifier"], strict=True):
        assert row == pytest.approx(own, abs=tolerance)
    for row, own in zip(of_features.tolist(), expected["gradient_used_by_features"], strict=True):
        assert row == pytest.approx(own, abs=tolerance)
    assert (of_features * features).sum(1).tolist() == pytest.approx([0.0, 0.0], abs=tolerance)


def test_gradients_are_finite_differences_of_the_entropy_with_opposite_signs(published):
    strategy, batch, _, _ = published
    features, head = batch.unlabelled, strategy.head.weight
    slopes = torch.autograd.grad(strategy.unlabelled_loss(batch, 0.5), [features, head])

    def entropy():
        return entropies(strategy.head(features)).mean().item()

    for tensor, slope, sign in ((features, slopes[0], 1), (head, slopes[1], -1)):
        for place in ((0, 0), (1, 1)):
            ends = []
            for step in (1e-6, -2e-6, 1e-6):
                with torch.no_grad():
                    tensor[place] += step
                ends.append(entropy())
            forward = (ends[0] - ends[1]) / 2e-6
            assert slope[place].item() == pytest.approx(sign * forward, rel=1e-5)


def test_the_head_knows_no_bias_and_no_length_of_features():
    strategy = Bench(Mme).set_up(0).strategy.eval()
    assert [name for name, _ in strategy.head.named_parameters()] == ["weight"]
    features = torch.randn(4, strategy.backbone.dim, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(strategy.head(features), strategy.head(3.0 * features), atol=1e-4)


@pytest.mark.parametrize("labels", [0, 10])
def test_without_weight_the_loss_of_labels_by_such_a_head_is_left(labels):
    (moment,) = Bench(Mme, {"weight": 0.0}).moments(labels)
    strategy, batch = moment.strategy.eval(), moment.batch
    seen = batch.labelled()
    features = strategy.features(seen.inputs)
    logits = features / features.norm(dim=1, keepdim=True) @ strategy.head.weight.T / 0.05
    expected = cross_entropy(logits, seen.labels)
    assert strategy.loss(batch, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)


def test_one_step_a_batch_has_both_losses():
    run = Bench(Mme).run(0)
    (phase,) = run.setup.strategy.phases()
    assert (run.fitted.steps, phase.optimiser_steps) == (8, 1)


def test_a_probe_whose_weights_are_not_of_normalised_features_is_refused():
    with pytest.raises(ImpossibleError, match="probe_first"):
        Bench(Mme, {"probe_first": 1.0}).set_up(10)
