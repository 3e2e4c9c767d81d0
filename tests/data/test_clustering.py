"""A target of which clusters are found: classes serve the score alone."""

import numpy as np
import pytest
import torch

from transfergrid.data.clustering import Clustering
from transfergrid.data.glyph_angles import GlyphAngles
from transfergrid.data.glyphs import Glyphs
from transfergrid.data.opened import OpenDomain
from transfergrid.evidence.measured.scoring import item_variances, value_of
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.metrics import CLUSTERS, deciding, one_answer

CLASSES = ("a", "b", "c")
TASK = Clustering(CLASSES)


def said(clusters, k=3):
    return torch.nn.functional.one_hot(torch.tensor(clusters), k).float()


def random(seed, n=60):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    return np.where(rng.random(n) < 0.6, (labels + 1) % 3, rng.integers(3, size=n)), labels


@pytest.mark.parametrize("metric", ["nmi", "ari"])
def test_any_order_of_clusters_that_are_the_classes_is_perfect(metric):
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    assert TASK.score(metric, said([2, 2, 0, 0, 1, 1]), labels) == pytest.approx(1)
    assert TASK.score(metric, said([0] * 6), labels) == 0
    assert TASK.floor(labels)[metric] == 0


def test_a_split_by_hand_has_the_value_of_the_formula():
    """Two classes of two; clusters of three and one: H = ln 2, H' = .562335, I = .215762."""
    labels, found = torch.tensor([0, 0, 1, 1]), said([0, 0, 0, 1])
    information = (
        np.log(2)
        + (-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
        - (-0.5 * np.log(0.5) - 2 * 0.25 * np.log(0.25))
    )
    entropies = np.log(2) - 0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert TASK.score("nmi", found, labels) == pytest.approx(2 * information / entropies)
    assert TASK.score("ari", found, labels) == 0  # 1 pair together, as by chance: 2 * 3 / 6


@pytest.mark.parametrize("metric", deciding(CLUSTERS))
@pytest.mark.parametrize("seed", range(5))
def test_what_judges_computes_the_same_without_torch(metric, seed):
    clusters, labels = random(seed)
    recorded = TASK.score(metric, said(clusters), torch.from_numpy(labels))
    told = Predictions(said(clusters).numpy(), labels)
    assert value_of(metric, told) == pytest.approx(recorded, abs=1e-9)


@pytest.mark.parametrize("metric", deciding(CLUSTERS))
def test_a_resample_is_scored_as_the_examples_that_it_holds(metric):
    from transfergrid.evidence.measured.scoring import RESAMPLED

    clusters, labels = random(7)
    drawn = np.random.default_rng(1).integers(len(labels), size=len(labels))
    weights = np.bincount(drawn, minlength=len(labels)).astype(np.float32)[:, None]
    told = Predictions(said(clusters).numpy(), labels)
    direct = Predictions(said(clusters[drawn]).numpy(), labels[drawn])
    found = RESAMPLED[metric](told, weights)[0]
    assert found == pytest.approx(value_of(metric, direct), abs=1e-9)


def test_test_items_give_a_gain_its_variance():
    pairs = []
    for seed in range(3):
        clusters, labels = random(seed, 200)
        noise = np.random.default_rng(9).integers(3, size=200)
        pairs.append([Predictions(said(c).numpy(), labels) for c in (clusters, noise)])
    found = item_variances([pairs], "nmi")
    assert found is not None
    assert (np.asarray(found.by_block) > 0).all()


def test_a_domain_of_classes_is_clustered_where_its_metric_says_so():
    domain = OpenDomain(config_of(Glyphs(characters="012", metric="nmi")))
    assert isinstance(domain.task, Clustering)
    assert domain.classes == ("0", "1", "2")  # which serve the score
    assert domain.task.names == ("cluster 1", "cluster 2", "cluster 3")
    assert one_answer(["nmi"]) == "one cluster"


def test_numbers_are_not_clustered():
    with pytest.raises(BadInputError, match=r"nmi is a metric of classes"):
        GlyphAngles(metric="nmi").check()


def test_nothing_is_learned_from_labels():
    with pytest.raises(NotImplementedError):
        TASK.loss(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))
