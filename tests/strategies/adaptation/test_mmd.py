"""MMD^2 under sums of Gaussian kernels (Long et al. 2015; Gretton et al. 2012)."""

import math

import pytest
import torch

from golden import golden, golden_number
from transfergrid.strategies.adaptation.kernels import discrepancy, gaussian_kernels
from transfergrid.strategies.adaptation.mmd import Mmd
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


def of_golden(name):
    given, expected, tolerance = golden("mmd", name)
    source, target = (torch.tensor(given[n], dtype=torch.float64) for n in ("source", "target"))
    kernel = gaussian_kernels(torch.cat([source, target]), [0.125, 0.25, 0.5, 1, 2])
    return kernel, expected, tolerance


@pytest.mark.proves("formula_exact", "mmd")
@pytest.mark.parametrize(
    ("estimator", "name"),
    [("unbiased", "unbiased_sum_of_kernels"), ("linear", "linear_circular")],
)
def test_the_discrepancy_is_that_of_the_library_less_its_constant(estimator, name):
    kernel, expected, tolerance = of_golden("dan_tllib")
    found = discrepancy(kernel, 4, estimator).item()
    assert found == pytest.approx(expected[name], abs=tolerance)
    assert abs(found - expected["value_returned_by_tllib"]) > 0.1


def test_no_other_librarys_number_is_given():
    """Averaged kernels, Laplace ones and other bandwidths are other numbers on the same input."""
    kernel, expected, _ = of_golden("other_libraries_same_input")
    ours = [discrepancy(kernel, 4, name).item() for name in ("unbiased", "biased", "linear")]
    assert min(abs(value - own) for value in expected.values() for own in ours) > 0.01


@pytest.mark.proves("formula_exact", "mmd")
def test_biased_and_unbiased_by_hand():
    """Of three and two examples, by loops over pairs."""
    rng = torch.Generator().manual_seed(0)
    source, target = (torch.randn(n, 2, generator=rng, dtype=torch.float64) for n in (3, 2))
    points = torch.cat([source, target])
    spread = sum((a - b).square().sum() for a in points for b in points) / 25

    def k(a, b):
        near = (a - b).square().sum()
        return sum(math.exp(-near / (2 * multiple * spread)) for multiple in (0.5, 2.0))

    across = sum(k(a, b) for a in source for b in target) / 6
    biased = sum(k(a, b) for a in source for b in source) / 9
    biased += sum(k(a, b) for a in target for b in target) / 4 - 2 * across
    unbiased = sum(k(source[i], source[j]) for i in range(3) for j in range(3) if i != j) / 6
    unbiased += k(target[0], target[1]) - 2 * across
    # of the first two of each: neighbours 0 and 1, then 1 and 0
    linear = k(source[0], source[1]) + k(target[0], target[1])
    linear -= k(source[0], target[1]) + k(source[1], target[0])
    kernel = gaussian_kernels(points, [0.5, 2.0])
    for name, expected in (("biased", biased), ("unbiased", unbiased), ("linear", linear)):
        assert discrepancy(kernel, 3, name).item() == pytest.approx(float(expected), abs=1e-12)


def test_two_points_under_one_kernel():
    """Points at 0 and 1: s is 1/2, so that the multiple 2 makes a kernel of unit variance."""
    kernel = gaussian_kernels(torch.tensor([[0.0], [1.0]], dtype=torch.float64), [2.0])
    expected = golden_number("MMD2_biased_two_diracs_0_1_sigma1")
    assert discrepancy(kernel, 1, "biased").item() == pytest.approx(expected, abs=5e-7)


def test_of_one_distribution_the_unbiased_value_is_about_zero_and_often_below():
    rng = torch.Generator().manual_seed(0)
    found = []
    for _ in range(200):
        points = torch.randn(20, 3, generator=rng, dtype=torch.float64)
        kernel = gaussian_kernels(points, [0.25, 1.0])
        found.append([discrepancy(kernel, 10, n).item() for n in ("unbiased", "linear", "biased")])
    values = torch.tensor(found)
    error = values.std(0) / math.sqrt(200)
    assert (values.mean(0)[:2].abs() < 3 * error[:2]).all()
    assert 0.3 < (values[:, 0] < 0).float().mean() < 0.8
    assert (values[:, 2] > 0).all()
    assert values[:, 1].std() > 1.5 * values[:, 0].std()  # what the pairs left out would know


def test_the_bandwidth_has_no_gradient():
    """The slope is that under a fixed bandwidth, not that of the value, which no scale changes."""
    rng = torch.Generator().manual_seed(1)
    points = torch.randn(7, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    spread = (points[:, None] - points[None]).square().sum(2).mean().item()

    def fixed(there):
        near = (there[:, None] - there[None]).square().sum(2)
        return discrepancy((-near / (2 * spread)).exp(), 4, "unbiased")

    discrepancy(gaussian_kernels(points, [1.0]), 4, "unbiased").backward()
    for row, column in [(0, 0), (3, 2), (6, 1)]:
        moved = torch.zeros_like(points)
        moved[row, column] = 1e-6
        with torch.no_grad():
            slope = (fixed(points + moved) - fixed(points - moved)) / 2e-6
        assert points.grad[row, column].item() == pytest.approx(slope.item(), rel=1e-6, abs=1e-10)
    along = (points.grad * points.detach()).sum()
    assert along.abs() > 1e-3  # it would be 0 if the bandwidth followed


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(labels, baseline):
    adapted, plain = Bench(Mmd, {"weight": 0.0}).run(labels), Bench(baseline).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(Bench(Mmd).run(labels).predictions, plain.predictions)


def test_both_layers_are_two_discrepancies():
    (moment,) = Bench(Mmd, {"weight": 3.0, "layers": "both", "estimator": "biased"}).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    (source,) = batch.source
    features, other = strategy.features(source.inputs), strategy.features(batch.unlabelled)
    plain = torch.nn.functional.cross_entropy(strategy.head(features), source.labels)
    parts = []
    for one, two in ((features, other), (strategy.head(features), strategy.head(other))):
        near = (torch.cat([one, two])[:, None] - torch.cat([one, two])[None]).square().sum(2)
        kernel = sum((-near / (2 * a * near.mean())).exp() for a in (0.125, 0.25, 0.5, 1, 2))
        sign = torch.cat([torch.ones(len(one)) / len(one), -torch.ones(len(two)) / len(two)])
        parts.append(sign @ kernel @ sign)
    expected = plain + 3.0 * sum(parts)
    assert strategy.loss(batch, 0.5).item() == pytest.approx(expected.item(), rel=1e-4)


def test_where_all_features_are_one_nothing_is_added():
    """No spread, no bandwidth: neither the value nor its gradient may be NaN."""
    points = torch.ones(6, 3, requires_grad=True)
    value = discrepancy(gaussian_kernels(points, [1.0]), 3, "unbiased")
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(points.grad, torch.zeros(6, 3))


def test_of_one_example_nothing_is_known():
    (moment,) = Bench(Mmd).moments(0)
    one, two = torch.randn(1, 12), torch.randn(4, 12)
    assert moment.strategy.distance(one, two, 0.5).item() == 0.0
    assert moment.strategy.distance(two, one, 0.5).item() == 0.0
