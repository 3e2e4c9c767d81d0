"""Scores against their definitions, computed another way, and against what must hold of them."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_features import blobs, changed, random_posteriors, rotation
from omegaconf import OmegaConf
from scipy.optimize import minimize
from scipy.spatial.distance import pdist
from scipy.stats import multivariate_normal, spearmanr

from transfergrid.records.factory import build, locate
from transfergrid.records.shipped import conf_dir
from transfergrid.runs.scores.base import Features, entropy, principal
from transfergrid.runs.scores.gbc import Gbc, bhattacharyya
from transfergrid.runs.scores.h_score import HScore
from transfergrid.runs.scores.knn import Knn, dino_weights
from transfergrid.runs.scores.leep import Leep
from transfergrid.runs.scores.linear_cka import LinearCka, linear_cka
from transfergrid.runs.scores.logme import LogMe
from transfergrid.runs.scores.nce import Nce
from transfergrid.runs.scores.nleep import Nleep
from transfergrid.runs.scores.parc import Parc
from transfergrid.runs.scores.proxy_a_distance import ProxyADistance, distance
from transfergrid.runs.scores.transrate import TransRate, coding_rate

CONFIGS = sorted((conf_dir() / "score").glob("*.yaml"))
ON_LABELS = [Knn(), LogMe(), HScore(), Nleep(2), Gbc(), TransRate(), Parc(), LinearCka()]
GOLDEN = Path(__file__).parents[4] / "shared" / "science" / "golden.json"


def named(score):
    return type(score).__name__


# All scores -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_its_class_with_its_defaults(path):
    config = OmegaConf.to_container(OmegaConf.load(path))
    about = config.pop("about")
    cls = locate(config.pop("_target_"))
    defaults = {n: p.default for n, p in inspect.signature(cls).parameters.items()}
    assert config == defaults
    assert about["help"]
    assert {key: about[key] for key in ("version", "paths")} == cls.about()
    assert cls.paper


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_values_lie_within_the_bounds_they_come_with(path):
    score = build(OmegaConf.to_container(OmegaConf.load(path)))
    for seed, apart in enumerate((0.0, 0.5, 3.0, 50.0)):
        made = blobs((40, 25, 30), d=5, apart=apart, seed=seed)
        n = len(made.target)
        features = Features(
            target=made.target,
            labels=made.labels,
            classes=3,
            posteriors=random_posteriors(n, 7, seed),
            source=np.random.default_rng(seed).standard_normal((60, 5)) + 0.1 * seed,
        )
        found = score(features)
        assert found.reason is None
        assert not found.out_of_bounds
        assert found.low is None or found.value >= found.low - 1e-9
        assert found.high is None or found.value <= found.high + 1e-9
        assert found.higher_is_better == score.higher_is_better


@pytest.mark.parametrize("score", ON_LABELS, ids=named)
def test_classes_apart_score_higher_than_labels_that_mean_nothing(score):
    apart = blobs(20, apart=2.0)
    shuffled = np.random.default_rng(0).permutation(apart.labels)
    nothing = Features(target=apart.target, labels=shuffled, classes=4)
    assert score(apart).value > score(nothing).value


@pytest.mark.parametrize("score", ON_LABELS, ids=named)
def test_neither_the_order_of_examples_nor_the_names_of_classes_matter(score):
    made = blobs((18, 22, 20), d=5, apart=0.7)
    order = np.random.default_rng(2).permutation(len(made.labels))
    other = Features(
        target=made.target[order], labels=np.array([2, 0, 1])[made.labels[order]], classes=3
    )
    if not isinstance(score, Nleep):  # its clusters start from the first examples
        assert score(other).value == pytest.approx(score(made).value, abs=1e-8)
    renamed = Features(target=made.target, labels=np.array([2, 0, 1])[made.labels], classes=3)
    assert score(renamed).value == pytest.approx(score(made).value, abs=1e-8)


@pytest.mark.parametrize("score", ON_LABELS, ids=named)
def test_rotating_the_features_changes_nothing(score):
    made = blobs(15, d=6, apart=0.7)
    turned = changed(made, made.target @ rotation(6))
    close = 0.15 if isinstance(score, Nleep) else 1e-7
    assert score(turned).value == pytest.approx(score(made).value, abs=close)


@pytest.mark.parametrize("score", [s for s in ON_LABELS if not isinstance(s, TransRate)], ids=named)
def test_the_features_scale_changes_nothing(score):
    made = blobs(15, d=6, apart=0.7)
    for factor in (1e-3, 40.0):
        scaled = changed(made, factor * made.target)
        assert score(scaled).value == pytest.approx(score(made).value, abs=1e-6)


@pytest.mark.parametrize("score", [*ON_LABELS, Leep(), Nce(), ProxyADistance()], ids=named)
def test_what_cannot_be_is_told_in_words(score):
    one_class = Features(target=np.eye(12), labels=np.zeros(12, dtype=np.int64), classes=3)
    found = score(one_class)
    assert found.value is None
    assert found.reason
    assert not found.out_of_bounds
    if "labels" in score.needs:
        assert score(Features(np.eye(12), None, 3)).reason == "there are no target labels"
        broken = Features(np.full((12, 2), np.nan), np.arange(12) % 2, 2, np.full((12, 2), 0.5))
        assert score(broken).reason == "some features are not finite"
        flat = Features(np.ones((40, 3)), np.arange(40) % 2, 2)
        value = score(flat)
        assert value.value is None or not value.out_of_bounds


def test_a_value_past_its_bound_is_flagged_and_not_clipped():
    class Broken(HScore):
        def compute(self, features):
            return 117.0  # for 47 classes, as in a published table

    found = Broken()(blobs(2, d=60, classes=47))
    assert (found.value, found.high, found.out_of_bounds) == (117.0, 46.0, True)


# k-NN -------------------------------------------------------------------------------------------


def test_knn_weights_are_those_of_dino():
    weights = dino_weights(np.array([0.9, 0.8]))
    assert weights[0] / weights[1] == pytest.approx(4.173, abs=5e-4)


def test_one_neighbour_is_scikit_learns():
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    made = blobs(12, apart=0.6)
    learner = KNeighborsClassifier(1, metric="cosine")
    theirs = cross_val_score(learner, made.target, made.labels, cv=LeaveOneOut()).mean()
    assert Knn(k=1)(made).value == pytest.approx(theirs)


def test_knn_never_asks_the_example_itself():
    pairs = Features(
        target=np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.01, 1.0]]),
        labels=np.array([0, 1, 0, 1]),
        classes=2,
    )
    assert Knn(k=1)(pairs).value == 0.0


def test_knn_with_one_label_a_class_is_undefined_and_singletons_only_vote():
    assert "one label a class" in Knn()(Features(np.eye(3), np.arange(3), 3)).reason
    alone = Features(np.array([[1.0, 0], [1, 0.1], [0, 1]]), np.array([0, 0, 1]), 2)
    assert Knn(k=1)(alone).value == 1.0


# LEEP, NCE, N-LEEP -------------------------------------------------------------------------------


def test_leep_by_its_definition_in_plain_loops():
    posteriors, labels = random_posteriors(9, 3, seed=4), np.array([0, 1, 2, 0, 1, 2, 0, 0, 1])
    total = 0.0
    for i in range(9):
        expected = 0.0
        for z in range(3):
            joint = sum(posteriors[j, z] for j in range(9) if labels[j] == labels[i]) / 9
            expected += joint / (posteriors[:, z].sum() / 9) * posteriors[i, z]
        total += np.log(expected) / 9
    made = Features(np.zeros((9, 2)), labels, 3, posteriors)
    assert Leep()(made).value == pytest.approx(total, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 9))
def test_leep_of_onehot_posteriors_is_nce(seed, classes, source_classes):
    rng = np.random.default_rng(seed)
    labels, said = rng.integers(classes, size=60), rng.integers(source_classes, size=60)
    made = Features(np.zeros((60, 1)), labels, classes, np.eye(source_classes)[said])
    assert Leep()(made).value == pytest.approx(Nce()(made).value, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 8.0))
def test_leep_and_nce_lie_between_minus_the_labels_entropy_and_zero(seed, sharpness):
    labels = np.random.default_rng(seed).integers(4, size=50)
    made = Features(np.zeros((50, 1)), labels, 4, random_posteriors(50, 5, seed, sharpness))
    for score in (Leep(), Nce()):
        found = score(made)
        assert not found.out_of_bounds
        assert found.low == pytest.approx(-entropy(labels))


def test_an_uninformative_source_is_worth_minus_the_entropy_of_the_labels():
    labels = np.array([0, 0, 0, 1, 1, 2])
    same = np.tile([0.2, 0.5, 0.3], (6, 1))
    entropy_by_hand = -(0.5 * np.log(0.5) + np.log(1 / 3) / 3 + np.log(1 / 6) / 6)
    made = Features(np.zeros((6, 1)), labels, 3, same)
    assert Leep()(made).value == pytest.approx(-entropy_by_hand)
    assert Nce()(made).value == pytest.approx(-entropy_by_hand)


def test_nce_by_hand():
    said = np.eye(2)[[0, 0, 0, 0, 1, 1]]  # z=0: labels 0 0 1 1, z=1: label 1 twice
    made = Features(np.zeros((6, 1)), np.array([0, 0, 1, 1, 1, 1]), 2, said)
    assert Nce()(made).value == pytest.approx(-4 / 6 * np.log(2))


def test_without_posteriors_the_reason_is_the_sources():
    made = blobs(5, absent={"posteriors": "a placebo has no classes of its own"})
    assert Leep()(made).reason == "a placebo has no classes of its own"
    assert Nce()(blobs(5)).reason == "the source's own classifier is not at hand"


def test_nleep_of_clouds_far_apart_is_perfect_and_few_labels_are_too_few():
    assert Nleep(1)(blobs(30, classes=3, apart=40.0)).value == pytest.approx(0.0, abs=1e-6)
    assert "too few for 20 Gaussians" in Nleep()(blobs(5, classes=4)).reason


# H-score ----------------------------------------------------------------------------------------


def test_h_score_by_its_definition():
    made = blobs((30, 20, 25), d=4, apart=0.8)
    means = np.stack([made.target[made.labels == c].mean(axis=0) for c in range(3)])[made.labels]
    by_definition = np.trace(
        np.linalg.solve(np.cov(made.target.T, bias=True), np.cov(means.T, bias=True))
    )
    assert HScore(shrinkage=False)(made).value == pytest.approx(by_definition)


def test_shrunk_h_score_by_its_definition_in_more_dimensions_than_examples():
    from sklearn.covariance import LedoitWolf

    made = blobs((6, 5, 4), d=40, apart=0.8)
    means = np.stack([made.target[made.labels == c].mean(axis=0) for c in range(3)])[made.labels]
    fitted = LedoitWolf().fit(made.target)
    between = (1 - fitted.shrinkage_) * np.cov(means.T, bias=True)
    by_definition = np.trace(np.linalg.solve(fitted.covariance_, between))
    assert HScore()(made).value == pytest.approx(by_definition)


def test_h_score_is_affine_invariant_without_shrinkage_and_bounded():
    made = blobs(40, d=5, classes=5, apart=3.0)
    stretched = made.target @ np.random.default_rng(3).standard_normal((5, 5)) + 7.0
    plain = HScore(shrinkage=False)
    assert plain(changed(made, stretched)).value == pytest.approx(plain(made).value, abs=1e-8)
    assert plain(made).value < 4.0
    assert plain(made).high == 4.0
    assert HScore()(blobs(40, d=2, classes=5)).high == 2.0


def test_h_score_saturates_with_few_examples_and_shrinkage_mends_it():
    rng = np.random.default_rng(5)
    noise = Features(rng.standard_normal((12, 16)), np.arange(12) % 5, 5)
    plain = HScore(shrinkage=False)(noise)
    assert plain.value == pytest.approx(4.0)
    assert plain.remarks == ("saturated: 12 examples in 16 dimensions",)
    assert HScore()(noise).value < 2.0


def test_h_score_of_labels_by_chance_is_about_its_expectation():
    n, d, classes = 2000, 10, 5
    rng = np.random.default_rng(6)
    values = [
        HScore(False)(Features(rng.standard_normal((n, d)), rng.integers(classes, size=n), 5)).value
        for _ in range(20)
    ]
    assert np.mean(values) == pytest.approx((classes - 1) * d / (n - 1), rel=0.15)


# LogME ------------------------------------------------------------------------------------------


def exact_evidence(features):
    """Maximise the log density of the labels over both precisions, n by n, class by class."""
    n, gram = len(features.target), features.target @ features.target.T

    def best(y):
        def loss(logs):
            covariance = np.exp(-logs[1]) * np.eye(n) + np.exp(-logs[0]) * gram
            return -multivariate_normal.logpdf(y, np.zeros(n), covariance)

        starts = [(a, b) for a in (-2.0, 2.0, 6.0) for b in (0.0, 3.0)]
        return -min(
            minimize(
                loss,
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000},
            ).fun
            for start in starts
        )

    return np.mean([best(y) for y in features.onehot.T]) / n


@pytest.mark.parametrize("made", [blobs(8, d=5, classes=3), blobs(4, d=20, classes=3, apart=0.5)])
def test_logme_is_the_maximum_of_the_exact_marginal_likelihood(made):
    assert LogMe()(made).value == pytest.approx(exact_evidence(made), abs=1e-6)


def test_logme_ends_where_the_papers_fixed_point_does():
    made = blobs(25, d=6, classes=3, apart=1.5)
    features, n = made.target, len(made.target)
    values = []
    for y in made.onehot.T:
        alpha = beta = 1.0
        for _ in range(2000):
            precision = alpha * np.eye(6) + beta * features.T @ features
            mean = beta * np.linalg.solve(precision, features.T @ y)
            gamma = 6 - alpha * np.trace(np.linalg.inv(precision))
            error = ((y - features @ mean) ** 2).sum()
            alpha, beta = gamma / (mean @ mean), (n - gamma) / error
        covariance = np.eye(n) / beta + features @ features.T / alpha
        values.append(multivariate_normal.logpdf(y, np.zeros(n), covariance) / n)
    assert LogMe()(made).value == pytest.approx(np.mean(values), abs=1e-9)


def test_logme_is_invariant_to_rotation_and_scale_to_the_last_digits():
    made = blobs(20, d=6)
    turned = changed(made, 3.7 * made.target @ rotation(6))
    assert LogMe()(turned).value == pytest.approx(LogMe()(made).value, abs=1e-9)


def test_logme_of_features_that_give_the_labels_exactly_has_no_maximum():
    made = Features(np.eye(2)[np.arange(10) % 2], np.arange(10) % 2, 2)
    assert "exactly" in LogMe()(made).reason


# GBC, TransRate, PARC ---------------------------------------------------------------------------


def test_bhattacharyya_distance_against_the_integral():
    means, variances = np.array([[0.0], [1.5]]), np.array([[1.0], [0.3]])
    grid = np.linspace(-12, 12, 40_001)
    one, other = (
        multivariate_normal.pdf(grid, m, v) for m, v in zip((0.0, 1.5), (1.0, 0.3), strict=True)
    )
    overlap = np.sqrt(one * other).sum() * (grid[1] - grid[0])
    found = bhattacharyya(means, variances)
    assert np.exp(-found[0, 1]) == pytest.approx(overlap, abs=1e-9)
    assert np.allclose(np.diag(found), 0.0)
    assert np.allclose(found, found.T)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_gbc_of_equal_classes_is_its_least_and_of_distant_ones_its_greatest(covariance):
    cloud = np.random.default_rng(0).standard_normal((30, 4))
    same = Features(np.tile(cloud, (3, 1)), np.repeat(np.arange(3), 30), 3)
    found = Gbc(covariance)(same)
    assert (found.value, found.low) == (pytest.approx(-6.0), -6.0)
    far = Gbc(covariance)(blobs(30, apart=60.0))
    assert (far.value, far.high) == (pytest.approx(0.0, abs=1e-12), 0.0)


def test_gbc_leaves_out_classes_with_one_example():
    found = Gbc()(blobs((6, 6, 1)))
    assert found.low == -2.0
    assert found.remarks == ("1 class with one example left out",)
    assert "two classes" in Gbc()(blobs((6, 1, 1))).reason


def test_transrate_weighs_classes_by_their_size():
    made = blobs((50, 10, 4), d=5, apart=1.0)
    middle = made.target - made.target.mean(axis=0)
    rates = [coding_rate(middle[made.labels == c], 1e-4) for c in range(3)]
    weighted = coding_rate(middle, 1e-4) - np.average(rates, weights=(50, 10, 4))
    uniform = coding_rate(middle, 1e-4) - np.mean(rates)
    assert TransRate()(made).value == pytest.approx(weighted)
    assert abs(weighted - uniform) > 1e-3


def test_coding_rate_is_the_same_by_either_gram_matrix():
    wide = np.random.default_rng(0).standard_normal((6, 11))
    direct = 0.5 * np.linalg.slogdet(np.eye(11) + wide.T @ wide / (6 * 1e-2))[1]
    assert coding_rate(wide, 1e-2) == pytest.approx(direct)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(1e-4, 10.0))
def test_transrate_is_never_negative(seed, d, eps):
    rng = np.random.default_rng(seed)
    made = Features(rng.standard_normal((20, d)), rng.integers(3, size=20), 3)
    if len(set(made.labels)) > 1:
        assert not TransRate(eps)(made).out_of_bounds


def test_parc_by_its_definition_with_scipy():
    made = blobs((7, 9, 8), d=6, apart=0.8)
    features = pdist(principal(made.target, 32), "correlation")
    labels = pdist(np.eye(3)[made.labels], "correlation")
    theirs = spearmanr(features, labels).statistic
    assert Parc()(made).value == pytest.approx(theirs)


# Proxy A-distance, CKA --------------------------------------------------------------------------


def test_proxy_a_distance_of_an_error():
    assert [distance(e) for e in (0.5, 0.25, 0.0, 0.6)] == [0.0, 1.0, 2.0, 0.0]


def test_proxy_a_distance_tells_domains_apart_and_equal_ones_not():
    rng = np.random.default_rng(0)
    target, near, far = (rng.standard_normal((200, 4)) + shift for shift in (0.0, 0.0, 6.0))
    far_apart = ProxyADistance()(Features(target, None, 2, source=far))
    assert far_apart.value == 2.0
    assert not far_apart.higher_is_better
    assert ProxyADistance()(Features(target, None, 2, source=near)).value < 0.25
    few = ProxyADistance()(Features(target[:9], None, 2, source=near))
    assert few.reason == "9 examples of a domain are too few; it takes 10"


def test_proxy_a_distance_takes_as_many_examples_of_each_domain():
    rng = np.random.default_rng(1)
    many, few = rng.standard_normal((400, 3)), rng.standard_normal((40, 3))
    assert ProxyADistance()(Features(many, None, 2, source=few)).value < 0.6


def test_cka_of_a_representation_with_itself_turned_shifted_and_scaled_is_one():
    x = np.random.default_rng(0).standard_normal((30, 5))
    other = 4.0 * x @ rotation(5) + 2.0
    for debiased in (False, True):
        assert linear_cka(x, other, debiased) == pytest.approx(1.0)


def test_plain_cka_by_its_feature_formula():
    rng = np.random.default_rng(1)
    x, y = (a - a.mean(axis=0) for a in (rng.standard_normal((25, 4)), rng.random((25, 7))))
    norm = np.linalg.norm
    by_formula = norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))
    assert linear_cka(x, y) == pytest.approx(by_formula)


def test_debiased_cka_is_about_zero_for_noise_in_many_dimensions_and_plain_cka_is_not():
    rng = np.random.default_rng(2)
    draws = [Features(rng.standard_normal((20, 500)), np.arange(20) % 2, 2) for _ in range(40)]
    assert abs(np.mean([LinearCka()(made).value for made in draws])) < 0.02
    assert min(LinearCka(debiased=False)(made).value for made in draws) > 0.15


# The project's reference values -----------------------------------------------------------------


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the reference values are not at hand")
def test_the_reference_values_say_the_same_of_these_scores():
    golden = json.loads(GOLDEN.read_text())
    value, bound = golden["Hscore_bounded_by_C-1"]
    assert value <= bound
    assert golden["LogME_fixedpoint"] == pytest.approx(golden["LogME_exact_marginal_likelihood"])
    assert golden["PAD e=.5,.25,0"] == [distance(e) for e in (0.5, 0.25, 0.0)]
    weights = dino_weights(np.array([0.9, 0.8]))
    assert golden["kNN weight ratio sim .9 vs .8 @T=.07"] == round(weights[0] / weights[1], 3)
    leep, floor = golden["LEEP uninformative source == -H(Y)"]
    assert leep == pytest.approx(floor)


def test_of_numbers_logme_is_the_evidence_of_the_standardised_column():
    """Of two features that are all there is: the marginal likelihood at its best, by a search."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(30, 2))
    y = inputs @ [1.0, -2.0] + 0.5 * rng.normal(size=30)
    told = LogMe()(Features(target=inputs, labels=(1000 + 30 * y).astype(np.float32), classes=0))
    y = (y - y.mean()) / y.std()

    def loss(logs):
        alpha, beta = np.exp(logs)
        covariance = np.eye(30) / beta + inputs @ inputs.T / alpha
        return -multivariate_normal(np.zeros(30), covariance).logpdf(y)

    best = min(minimize(loss, start, method="Nelder-Mead").fun for start in ([0, 0], [2, 3]))
    assert told.value == pytest.approx(-best / 30, rel=1e-4)


def test_scores_of_classes_say_so_of_numbers():
    made = Features(target=np.eye(6), labels=np.arange(6, dtype=np.float32), classes=0)
    for score in (Gbc(), HScore(), TransRate(), Parc()):
        told = score(made)
        assert told.value is None
        assert told.reason == "the labels are numbers, and this score is of classes"
    alike = Features(target=np.eye(6), labels=np.ones(6, dtype=np.float32), classes=0)
    assert LogMe()(alike).reason == "all labels are alike"


def test_of_numbers_knn_is_the_share_that_the_nearest_explains():
    """At 0, 10, 90 and 110 degrees the nearest of 1, 3, 10 and 14 are 3, 1, 14 and 10.

    Off by 2, 2, 4 and 4, squares 40, of 36 + 16 + 9 + 49 = 110 about the mean of 7.
    """
    angles = np.deg2rad([0.0, 10.0, 90.0, 110.0])
    inputs = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.array([1, 3, 10, 14], dtype=np.float32)
    told = Knn(k=1)(Features(target=inputs, labels=labels, classes=0))
    assert told.value == pytest.approx(1 - 40 / 110)
    assert (told.low, told.high) == (None, 1.0)
    both = np.stack([labels, 1000 - 5 * labels], axis=1)  # another unit, turned round: the same
    assert Knn(k=1)(Features(target=inputs, labels=both, classes=0)).value == pytest.approx(
        1 - 40 / 110
    )
    # of all three others alike, the mean of these: 9, 25/3, 6 and 14/3
    alike = Knn(k=3, temperature=1e9)(Features(target=inputs, labels=labels, classes=0))
    assert alike.value == pytest.approx(1 - (64 + (16 / 3) ** 2 + 16 + (28 / 3) ** 2) / 110)
