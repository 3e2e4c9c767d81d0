"""Learned maps of two kinds of features: published products, the optimum, and what it cannot do."""

import numpy as np
import pytest
import torch
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression

from golden import golden
from transfergrid.strategies.shallow import easy_adapt
from transfergrid.strategies.shallow.heterogeneous_feature_augmentation import (
    HeterogeneousFeatureAugmentation,
    Shared,
    best_shared,
    head_under,
    learned,
    side_by_side,
)
from transfergrid.testing.bench import Bench


def of_maps(p, q):
    """Return what these maps share, by a decomposition of [P, Q]'[P, Q]."""
    both = np.hstack([p, q])
    sizes, axes = np.linalg.eigh(both.T @ both)
    some = sizes > 1e-12
    return Shared(axes[:, some], sizes[some])


def table(n=60, k=24, wide=(5, 3), classes=3, seed=0):
    """Return features of two widths of the same hidden ones, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n + k) % classes
    hidden = 1.5 * rng.normal(size=(classes, 3))[labels] + rng.normal(size=(n + k, 3))
    source, target = (
        hidden[:n] @ rng.normal(size=(3, wide[0])),
        hidden[n:] @ rng.normal(size=(3, wide[1])),
    )
    return source / spread(source), target / spread(target), labels


@pytest.mark.proves("formula_exact", "heterogeneous_feature_augmentation")
def test_the_published_inner_products():
    told, expected, tolerance = golden("heterogeneous_feature_augmentation", "maps")
    shared = of_maps(np.array(told["P"]), np.array(told["Q"]))
    source, target = np.array([told["source"]]), np.array([told["target"]])
    one, other = shared.spent(side_by_side(source, target))
    across = np.dot(expected["source_augmented"], expected["target_augmented"])
    assert across == expected["inner_product_across"]
    assert one @ other == pytest.approx(across, abs=tolerance)
    assert one @ one == pytest.approx(expected["inner_product_within_source"], abs=tolerance)
    assert other @ other == pytest.approx(expected["inner_product_within_target"], abs=tolerance)


@pytest.mark.proves("formula_exact", "heterogeneous_feature_augmentation")
@pytest.mark.parametrize("classes", [2, 3])
def test_where_both_maps_are_the_identity_it_is_easy_adapt(classes):
    source, target, labels = table(wide=(4, 4), classes=classes)
    found = head_under(of_maps(np.eye(4), np.eye(4)), source, target, labels, classes, 0.8)
    rows = easy_adapt.augmented(source, target)
    solver = LogisticRegression(C=0.8, solver="newton-cg", tol=1e-10).fit(rows, labels)
    test = np.random.default_rng(1).normal(size=(9, 4))
    logits = torch.from_numpy(test @ found.target.T + found.biases)
    expected = solver.predict_proba(np.hstack([test, 0 * test, test]))
    assert np.allclose(logits.softmax(1), expected, atol=1e-6)
    logits = torch.from_numpy(test @ found.source.T + found.biases)
    expected = solver.predict_proba(np.hstack([test, test, 0 * test]))
    assert np.allclose(logits.softmax(1), expected, atol=1e-6)


def test_a_bound_is_spent_on_the_largest_first_by_hand():
    weights = np.diag([3.0, 1.0])
    one, both = best_shared(weights, 1.0), best_shared(weights, 4.0)
    assert one.sizes == pytest.approx([1.0])
    assert abs(one.axes[:, 0]) == pytest.approx([1, 0])
    assert both.sizes == pytest.approx([3.5, 0.5])
    assert len(best_shared(weights, 0.0).sizes) == 0
    assert np.isfinite(best_shared(0 * weights, 4.0).sizes).all()


def value(source, target, labels, c, maps, weights, biases):
    """Return the objective as it is written: a head on augmented features."""
    p, q = maps
    nothing = torch.zeros
    rows = torch.cat(
        [
            torch.cat([source @ p.T, source, nothing(len(source), target.shape[1])], 1),
            torch.cat([target @ q.T, nothing(len(target), source.shape[1]), target], 1),
        ]
    )
    loss = torch.nn.functional.cross_entropy(rows @ weights.T + biases, labels, reduction="sum")
    return c * loss + weights.square().sum() / 2


@pytest.mark.parametrize("trace", [0.5, 20.0])
def test_no_general_optimiser_of_maps_and_weights_gets_below(trace):
    source, target, labels = table()
    shared = learned(source, target, labels, 1.0, trace)
    found = head_under(shared, source, target, labels, 3, 1.0)
    logs = torch.from_numpy(
        side_by_side(source, target) @ np.hstack(found[:2]).T + found.biases
    ).log_softmax(1)
    weights = np.hstack(found[:2])
    h = shared.axes * shared.sizes @ shared.axes.T
    own = -float(logs[range(len(labels)), labels].sum())
    own += np.trace(weights @ np.linalg.inv(np.eye(8) + h) @ weights.T) / 2

    told = [torch.from_numpy(part) for part in (source, target, labels)]
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        free = [torch.randn(3, 8), 0.1 * torch.randn(3, 11), torch.zeros(3)]
        free = [part.requires_grad_() for part in free]
        optimiser = torch.optim.LBFGS(free, max_iter=4000, line_search_fn="strong_wolfe")

        def step():
            optimiser.zero_grad()
            maps = trace**0.5 * free[0] / free[0].norm()
            result = value(*told, 1.0, maps.split([5, 3], 1), *free[1:])
            result.backward()
            return result

        optimiser.step(step)
        other = float(step().detach())
    finally:
        torch.set_default_dtype(torch.float32)
    assert own <= other * (1 + 1e-9)
    assert own == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("trace", [0.5, 20.0, 500.0])
@pytest.mark.parametrize("wide", [(5, 3), (4, 9)])
def test_no_axis_could_use_more_of_the_bound_than_those_that_have_it(wide, trace):
    source, target, labels = table(wide=wide)
    shared = learned(source, target, labels, 1.0, trace)
    found = head_under(shared, source, target, labels, 3, 1.0)
    assert shared.sizes.sum() == pytest.approx(trace)
    h = shared.axes * shared.sizes @ shared.axes.T
    inverse = np.linalg.inv(np.eye(sum(wide)) + h)
    weights = np.hstack(found[:2])
    use = inverse @ weights.T @ weights @ inverse
    most = np.linalg.eigvalsh(use)[-1]
    assert np.einsum("dk,de,ek->k", shared.axes, use, shared.axes) == pytest.approx(most, rel=1e-3)


def test_of_two_classes_the_domains_share_the_bias_alone():
    """The best H is then one axis along the weights: that is a looser penalty, and no transfer."""
    source, target, labels = table(classes=2)
    shared = learned(source, target, labels, 1.0, 10.0)
    found = head_under(shared, source, target, labels, 2, 1.0)
    rows = side_by_side(source, target)
    solver = LogisticRegression(C=11.0, solver="newton-cg", tol=1e-10).fit(rows, labels)
    difference = np.hstack(found[:2])[1] - np.hstack(found[:2])[0]
    assert len(shared.sizes) == 1
    assert difference == pytest.approx(solver.coef_[0], abs=1e-4)
    assert found.biases[1] - found.biases[0] == pytest.approx(solver.intercept_[0], abs=1e-4)


def water(values, trace):
    """Return sizes max(0, s r - 1) of this sum, r by bisection."""
    low, high = 0.0, (trace + len(values)) / values.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (low, middle)
            if np.maximum(0, values * middle - 1).sum() > trace
            else (
                middle,
                high,
            )
        )
    return np.maximum(0, values * low - 1)


def test_a_cell_is_what_taking_turns_between_head_and_maps_comes_to():
    run = Bench(HeterogeneousFeatureAugmentation, {"trace": 3.0, "c": 0.5}).run(10)
    seen = given(run)
    moved, units = [], []
    for rows in (seen.source, seen.labelled):
        centred = rows - rows.mean(0)
        units.append(spread(rows))
        moved.append(centred / units[-1])
    width = seen.source.shape[1]
    rows = np.kron([[1, 0]], np.vstack([moved[0], 0 * moved[1]]))
    rows = rows + np.kron([[0, 1]], np.vstack([0 * moved[0], moved[1]]))
    root = np.eye(2 * width)
    for _ in range(150):
        solver = LogisticRegression(C=0.5, solver="newton-cg", tol=1e-9)
        solver.fit(rows @ root, seen.pooled_labels)
        _, values, axes = np.linalg.svd(solver.coef_ @ root, full_matrices=False)
        sizes = water(values, 3.0)
        root = np.eye(2 * width) + axes.T * (np.sqrt(1 + sizes) - 1) @ axes
    test = (seen.test - seen.labelled.mean(0)) / units[1]
    expected = solver.predict_proba(np.hstack([0 * test, test]) @ root)
    assert np.allclose(run.predictions, expected, atol=1e-3)
    told = run.setup.strategy.tells()
    assert told["trace"] == pytest.approx(3.0)
    assert told["rank"] == (sizes > 1e-6).sum()


def test_without_a_bound_to_spend_the_domains_are_apart():
    run = Bench(HeterogeneousFeatureAugmentation, {"trace": 0.0}).run(10)
    assert run.setup.strategy.tells() == {"rank": 0.0, "trace": 0.0}
