"""Clusters: centres worked out by hand, and labels that nothing but the score can reach."""

import numpy as np
import pytest
import torch

from transfergrid.strategies.unlabelled.kmeans import Kmeans
from transfergrid.strategies.unlabelled.kmeans_on_codes import KmeansOnCodes
from transfergrid.strategies.unlabelled.kmeans_on_features import KmeansOnFeatures
from transfergrid.strategies.unlabelled.nearest_centres import centres_of, linear_of
from transfergrid.testing.bench import Bench, opened, sealed
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.testing.tiny_clusters import TinyClusters

FEW = {"bases": 12, "rounds": 4}
WAYS = [(Kmeans, {}), (KmeansOnFeatures, {}), (KmeansOnCodes, FEW)]


def bench(kind, arguments):
    source = TinySource(domain=TinyDomain(shift=0.4))
    return Bench(kind, arguments, domain=TinyClusters, source=source)


@pytest.mark.proves("formula_exact", "kmeans")
@pytest.mark.proves("formula_exact", "kmeans_on_features")
@pytest.mark.proves("formula_exact", "kmeans_on_codes")
def test_centres_are_those_that_a_hand_finds():
    """Six points on a line: 0, 1, 2 and 10, 11, 12."""
    rows = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    centres = centres_of(rows, 2, 10, 0)
    assert sorted(centres[:, 0]) == pytest.approx([1.0, 11.0])
    weights, biases = linear_of(centres)
    outputs = torch.from_numpy(rows) @ weights.T + biases
    nearest = np.abs(rows - centres.T).argmin(1)
    assert outputs.argmax(1).tolist() == nearest.tolist()
    distances = -(outputs - torch.from_numpy(rows).square())
    np.testing.assert_allclose(distances.numpy(), (rows - centres.T) ** 2, atol=1e-9)


def test_of_fewer_examples_than_clusters_each_is_a_centre():
    centres = centres_of(np.array([[0.0], [4.0]]), 3, 1, 0)
    assert sorted(set(centres[:, 0])) == [0.0, 4.0]
    assert centres.shape == (3, 1)


@pytest.mark.parametrize(("kind", "arguments"), WAYS)
def test_the_fit_sees_no_label_and_other_labels_change_nothing(kind, arguments):
    made = bench(kind, arguments)
    setup = made.set_up(0)
    assert setup.data.train is None
    assert setup.data.validation is None
    assert len(setup.data.unlabelled.labels) == 0
    pool, test = opened(TinyClusters())
    with sealed(pool, "labels"), sealed(test, "images", "labels"):
        made.driver(setup).run()
    found = made.run(0)
    assert all(
        torch.equal(value, found.state[k]) for k, value in setup.strategy.state_dict().items()
    )


@pytest.mark.parametrize(("kind", "arguments"), WAYS)
def test_patterns_are_told_apart_better_than_by_chance(kind, arguments):
    run = bench(kind, arguments).run(0)
    labels = torch.from_numpy(run.setup.target.whole("test", run.setup.preprocess).labels)
    assert run.setup.data.task.score("nmi", run.predictions, labels) > 0.3


def test_what_has_no_source_is_another_cell_than_what_has_one():
    assert Kmeans.needs.source == "none"
    assert KmeansOnFeatures.baselines.unlabelled == KmeansOnCodes.baselines.unlabelled == "kmeans"
    assert not KmeansOnCodes.needs.source_labels
