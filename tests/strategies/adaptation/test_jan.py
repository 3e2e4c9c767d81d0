"""MMD^2 under the product of two layers' kernels (Long et al. 2017)."""

import pytest
import torch

from golden import golden
from transfergrid.strategies.adaptation.jan import Jan, joint_kernel
from transfergrid.strategies.adaptation.kernels import discrepancy, gaussian_kernels
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


def of_golden():
    given, expected, tolerance = golden("jan", "joint_mmd")
    features, said = (
        torch.tensor(given[f"source_{n}"] + given[f"target_{n}"], dtype=torch.float64)
        for n in ("features", "probabilities")
    )
    return given, features, said.log(), expected, tolerance


@pytest.mark.proves("formula_exact", "jan")
@pytest.mark.parametrize(
    ("estimator", "name"), [("unbiased", "unbiased"), ("linear", "linear_circular")]
)
def test_the_discrepancy_is_that_of_the_library_less_its_constant(estimator, name):
    given, features, logits, expected, tolerance = of_golden()
    told = (given["feature_alphas"], given["prediction_sigma"])
    found = discrepancy(joint_kernel(features, logits, *told), 4, estimator).item()
    assert found == pytest.approx(expected[name], abs=tolerance)
    assert abs(found - expected["value_returned_by_tllib"]) > 0.1


def test_it_is_no_sum_of_two_discrepancies():
    """Nor is it one of features and predictions side by side."""
    given, features, logits, expected, _ = of_golden()
    alphas = given["feature_alphas"]
    apart = [gaussian_kernels(points, alphas) for points in (features, logits.softmax(1))]
    summed = sum(discrepancy(kernel, 4, "unbiased") for kernel in apart).item()
    joined = gaussian_kernels(torch.cat([features, logits.softmax(1)], 1), alphas)
    for other in (summed, discrepancy(joined, 4, "unbiased").item()):
        assert abs(other - expected["unbiased"]) > 1e-3


def test_predictions_come_after_softmax_and_their_width_is_squared_and_doubled():
    """Of two certain and opposite predictions |p - p'|^2 is 2."""
    features, logits = torch.zeros(2, 3), torch.tensor([[40.0, 0.0], [0.0, 40.0]])
    kernel = joint_kernel(features.double(), logits.double(), [1.0], 0.92)
    expected = torch.exp(torch.tensor(-2 / (2 * 0.92**2), dtype=torch.float64))
    assert kernel[0, 1].item() == pytest.approx(expected.item(), abs=1e-12)
    assert kernel[0, 0].item() == 1.0
    shifted = joint_kernel(features.double(), logits.double() + 7, [1.0], 0.92)
    assert torch.allclose(kernel, shifted)


def test_the_same_features_of_other_classes_are_apart():
    """What each layer by itself cannot see: features and predictions alike, paired otherwise."""
    features = torch.tensor([[0.0], [1.0], [0.0], [1.0]], dtype=torch.float64)
    sure = torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.0, 9.0], [9.0, 0.0]], dtype=torch.float64)
    one = [
        discrepancy(gaussian_kernels(points, [1.0]), 2, "biased").item()
        for points in (features, sure.softmax(1))
    ]
    assert one == pytest.approx([0.0, 0.0], abs=1e-12)
    assert discrepancy(joint_kernel(features, sure, [1.0], 0.92), 2, "biased").item() > 0.1


def test_the_head_learns_by_it_too():
    (moment,) = Bench(Jan).moments(0)
    strategy, batch = moment.strategy, moment.batch
    features, other = strategy.features(batch.source[0].inputs), strategy.features(batch.unlabelled)
    apart = strategy.distance(features.detach(), other.detach(), 0.5)
    (slope,) = torch.autograd.grad(apart, [strategy.head.weight])
    assert slope.abs().max() > 0


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(labels, baseline):
    adapted, plain = Bench(Jan, {"weight": 0.0}).run(labels), Bench(baseline).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(Bench(Jan).run(labels).predictions, plain.predictions)


def test_of_one_example_nothing_is_known():
    (moment,) = Bench(Jan).moments(0)
    one, two = torch.randn(1, 12), torch.randn(4, 12)
    assert moment.strategy.distance(one, two, 0.5).item() == 0.0
    assert moment.strategy.distance(two, one, 0.5).item() == 0.0
