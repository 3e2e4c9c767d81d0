"""Probes, distances and similarities agree with what they stand for."""

import numpy as np
import pytest

from transfergrid.runs.diagnostics import closed_forms
from transfergrid.runs.diagnostics.closed_forms import (
    cka,
    knn_accuracy,
    linear_accuracy,
    matching,
    one_hot,
    proxy_a_distance,
    ridge,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def clusters(rng, n=60, classes=3, apart=4.0, dim=8):
    labels = np.arange(n) % classes
    return apart * np.eye(dim)[labels] + rng.normal(size=(n, dim)), labels


@pytest.mark.parametrize("dim", [3, 40])
def test_leaving_one_out_is_fitting_without_it(rng, monkeypatch, dim):
    monkeypatch.setattr(closed_forms, "PENALTIES", np.array([0.3]))
    rows, labels = rng.normal(size=(12, dim)), np.arange(12) % 2
    targets = one_hot(labels, 2)
    fitted = ridge(rows, targets)
    penalty = 0.3 * np.linalg.eigvalsh(fitted.rows @ fitted.rows.T).clip(0).mean()
    for i in range(12):
        kept = np.arange(12) != i
        x, y = fitted.rows[kept], targets[kept]
        centred = x - x.mean(axis=0)
        inner = centred.T @ centred + penalty * np.eye(dim)
        weights = np.linalg.solve(inner, centred.T @ (y - y.mean(axis=0)))
        expected = (fitted.rows[i] - x.mean(axis=0)) @ weights + y.mean(axis=0)
        np.testing.assert_allclose(fitted.left_out[i], expected, atol=1e-8)


def test_a_fit_predicts_its_own_examples_like_the_normal_equations(rng):
    rows, labels = clusters(rng)
    said = ridge(rows, one_hot(labels, 3)).predict(rows + 0.0).argmax(axis=1)
    assert (said == labels).mean() > 0.95


@pytest.mark.parametrize("probe", [knn_accuracy, linear_accuracy])
def test_probes_read_clusters_whatever_the_scale_and_rotation(rng, probe):
    rows, labels = clusters(rng)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert probe(rows, labels, 3) > 0.9
    assert probe(100 * rows @ turn + 7, labels, 3) == pytest.approx(probe(rows, labels, 3))


@pytest.mark.parametrize("probe", [knn_accuracy, linear_accuracy])
def test_probes_read_nothing_out_of_noise(rng, probe):
    labels = np.arange(400) % 4
    assert probe(rng.normal(size=(400, 50)), labels, 4) < 0.35


def test_the_distance_of_domains_is_0_for_one_and_2_for_two(rng):
    one, same = rng.normal(size=(2, 200, 10))
    assert proxy_a_distance(one, same) < 0.4
    assert proxy_a_distance(one, same + 5) == pytest.approx(2)


def test_matching_asks_for_the_class_whose_source_mean_is_nearest(rng):
    rows, labels = clusters(rng)
    assert matching(rows, labels, rows, labels) > 0.9
    assert matching(rows, labels, rows, (labels + 1) % 3) < 0.1


def test_cka_is_1_up_to_rotation_and_scale_and_0_for_unrelated_features(rng):
    rows, other = rng.normal(size=(2, 64, 1000))
    turn = np.linalg.qr(rng.normal(size=(1000, 1000)))[0]
    assert cka(rows, 3 * rows @ turn + 1) == pytest.approx(1)
    assert cka(rows, other) < 0.05, "the plain estimate would be near 1 with so many features"


def test_cka_of_what_does_not_vary_is_unknown(rng):
    assert cka(np.ones((10, 3)), rng.normal(size=(10, 3))) is None
    assert cka(rng.normal(size=(3, 3)), rng.normal(size=(3, 3))) is None
