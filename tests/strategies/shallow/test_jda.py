"""Joint distribution adaptation: the published matrices and projection, and a loop of its own."""

import numpy as np
import pytest
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression

from golden import golden
from transfergrid.strategies.shallow.jda import JDA, contrasts, of_length_one, projection
from transfergrid.testing.bench import Bench


def published():
    told, expected, tolerance = golden("jda", "matrix_and_projection")
    source, target = (of_length_one(np.array(told[name])) for name in ("source", "target"))
    labels, pseudo = np.array(told["source_labels"]), np.array(told["pseudo_labels"])
    return told, source, target, labels, pseudo, expected, tolerance


@pytest.mark.proves("formula_exact", "jda")
def test_the_published_matrices():
    _, _, target, labels, pseudo, expected, tolerance = published()
    apart = contrasts(labels, pseudo, len(target))
    raw = apart @ apart.T
    assert raw == pytest.approx(np.array(expected["M_raw"]), abs=tolerance)
    size = np.linalg.norm(apart.T @ apart)
    assert raw / size == pytest.approx(np.array(expected["M_frobenius"]), abs=tolerance)
    first = contrasts(labels, None, len(target))
    found = first @ first.T / np.linalg.norm(first.T @ first)
    assert found == pytest.approx(np.array(expected["M_first_round_no_pseudo"]), abs=tolerance)


@pytest.mark.proves("formula_exact", "jda")
def test_the_published_projection():
    told, source, target, labels, pseudo, expected, tolerance = published()
    rows, apart = np.vstack([source, target]), contrasts(labels, pseudo, len(target))
    both = projection(rows, apart, told["regularisation"], 2)[1]
    assert both == pytest.approx(expected["generalised_eigenvalues"], abs=tolerance)
    axes, values = projection(rows, apart, told["regularisation"], 1)
    assert values == pytest.approx(both[:1])
    found, projected = abs(rows @ axes), np.array(expected["projection_abs"]).T
    assert np.linalg.norm(projected) == pytest.approx(1.0)  # a component's length is free
    assert found / np.linalg.norm(found) == pytest.approx(projected, abs=tolerance)


def test_it_is_the_least_of_the_problem_as_the_paper_states_it():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(50, 6)), np.arange(30) % 3
    apart = contrasts(labels, np.arange(20) % 3, 20)
    axes, values = projection(rows, apart, 0.5, 3)
    m = apart @ apart.T
    left = rows.T @ (m / np.linalg.norm(m)) @ rows + 0.5 * np.eye(6)
    right = rows.T @ (np.eye(50) - 1 / 50) @ rows
    assert np.allclose(axes.T @ right @ axes, np.eye(3))
    assert np.allclose(left @ axes, right @ axes * values)
    least = np.sort(np.linalg.eigvals(np.linalg.solve(right, left)).real)[:3]
    assert values == pytest.approx(least)


def test_a_class_of_one_domain_alone_has_no_part():
    labels, pseudo = np.array([0, 0, 1, 1]), np.array([1, 2, 1])
    apart = contrasts(labels, pseudo, 3)
    assert apart.shape == (7, 2)
    assert apart[:, 1] == pytest.approx([0, 0, 0.5, 0.5, -0.5, 0, -0.5])


def test_along_a_direction_in_which_nothing_varies_there_is_no_component():
    rng = np.random.default_rng(0)
    rows = np.c_[rng.normal(size=(30, 2)), np.full((30, 2), 3.0)]
    axes, values = projection(rows, contrasts(np.arange(20) % 2, None, 10), 1.0, 4)
    assert axes.shape == (4, 2)
    assert np.isfinite(values).all()


def by_hand(seen, components, strength, rounds, c):
    """Return probabilities of the test examples and the last two pseudo labels."""
    source, target, labelled, test = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (seen.source, seen.target, seen.labelled, seen.test)
    )
    n, m = len(source), len(target)
    both, pseudo, before = np.vstack([source, target]), None, None
    for _ in range(rounds):
        e = np.r_[np.full(n, 1 / n), np.full(m, -1 / m)]
        matrix = np.outer(e, e)
        for k in range(3) if pseudo is not None else ():
            ours, theirs = seen.source_labels == k, pseudo == k
            e = np.r_[ours / ours.sum(), theirs / -max(theirs.sum(), 1)]
            matrix += np.outer(e, e) * bool(theirs.sum())
        left = both.T @ (matrix / np.linalg.norm(matrix)) @ both
        left += strength * np.eye(both.shape[1])
        right = (both - both.mean(0)).T @ (both - both.mean(0))
        values, axes = np.linalg.eig(np.linalg.solve(right, left))
        axes = axes[:, np.argsort(values.real)[:components]].real
        axes /= np.sqrt(np.sum(axes * (right @ axes), axis=0))
        rows = np.vstack([source, labelled]) @ axes
        solver = LogisticRegression(C=c, tol=1e-10, max_iter=10_000)
        solver.fit(rows / spread(rows), seen.pooled_labels)
        before, pseudo = pseudo, solver.predict(target @ axes / spread(rows))
    return solver.predict_proba(test @ axes / spread(rows)), pseudo, before


@pytest.mark.parametrize("labels", [0, 10])
@pytest.mark.parametrize("rounds", [1, 4])
def test_a_cell_labels_and_projects_in_turn(rounds, labels):
    arguments = {"components": 4, "strength": 0.3, "rounds": rounds, "c": 2.0}
    run = Bench(JDA, arguments).run(labels)
    expected, pseudo, before = by_hand(given(run), **arguments)
    assert np.allclose(run.predictions, expected, atol=5e-4)
    told = run.setup.strategy.tells()
    changed = 1.0 if before is None else (pseudo != before).mean()
    assert told["changed"] == pytest.approx(changed)
    assert len(told["eigenvalues"]) == 4
    assert told["eigenvalues"] == sorted(told["eigenvalues"])
