"""Scores in NumPy: those of torchmetrics and scikit-learn, and the luck of a test set."""

import time

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from transfergrid.data.regression import Regression
from transfergrid.data.task import Classification
from transfergrid.evidence.measured.scoring import KNOWN, RESAMPLED, item_variances, tells, value_of
from transfergrid.evidence.statistics.intervals import (
    ItemVariances,
    over_blocks,
    over_blocks_and_items,
    over_blocks_and_resamples,
)
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.metrics import CLASSES, METRICS, NUMBERS, SHARES, metrics_of


def random_predictions(seed, items=120, classes=4, decimals=8, labels=None):
    """Return predictions that know a little; few decimals make ties and confidences of 1."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, items) if labels is None else labels
    logits = rng.normal(size=(items, classes)) + 1.2 * np.eye(classes)[labels]
    raised = np.exp(logits)
    probabilities = (raised / raised.sum(axis=1, keepdims=True)).round(decimals)
    return Predictions(probabilities.astype(np.float32), labels)


def random_numbers(seed, items=120, outputs=1, labels=None):
    """Return numbers that know a little, far from zero."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(1e4, 2, (items, outputs)).astype(np.float32) if labels is None else labels
    return Predictions((labels + rng.normal(0.5, 1, labels.shape)).astype(np.float32), labels)


def random_of(name, seed, items=120, labels=None, **told):
    """Return predictions that a metric is of."""
    if METRICS[name].task == NUMBERS:
        return random_numbers(seed, items, labels=labels)
    return random_predictions(seed, items, labels=labels, **told)


def weighted(name, said, weights):
    return RESAMPLED[name](said, np.asarray(weights, dtype=np.float32))


def plain(name, said):
    return float(weighted(name, said, np.ones((len(said.labels), 1)))[0])


def by_record(name, said):
    names = tuple(map(str, range(said.probabilities.shape[1])))
    task = Regression(names) if said.of_numbers else Classification(names)
    return task.scores(torch.tensor(said.probabilities), torch.tensor(said.labels))[name]


@pytest.mark.parametrize("name", metrics_of(CLASSES))
@pytest.mark.parametrize(("classes", "decimals"), [(2, 8), (4, 8), (4, 1), (10, 2)])
def test_scores_are_those_of_the_records(name, classes, decimals):
    for seed in range(5):
        said = random_predictions(seed, classes=classes, decimals=decimals)
        said.probabilities[:9] = np.eye(classes)[0]  # certain, with an edge of its own
        assert value_of(name, said) == pytest.approx(by_record(name, said), abs=1e-5)


@pytest.mark.parametrize("name", metrics_of(NUMBERS))
@pytest.mark.parametrize("outputs", [1, 3])
def test_scores_of_numbers_are_those_of_the_records(name, outputs):
    for seed in range(5):
        said = random_numbers(seed, outputs=outputs)
        assert value_of(name, said) == pytest.approx(by_record(name, said), rel=1e-6)
    constant = random_numbers(0, labels=np.full((9, outputs), 0.1, dtype=np.float32))
    assert (value_of(name, constant) is None) == (by_record(name, constant) is None)


def test_errors_of_numbers_by_hand():
    """Errors 1, 0, -1, -2 of labels whose squared distances to their mean of 3 sum to 14."""
    labels = np.array([1, 2, 3, 6], dtype=np.float32)
    said = Predictions(np.array([[2], [2], [2], [4]], dtype=np.float32), labels)
    assert value_of("mse", said) == 6 / 4
    assert value_of("mae", said) == 4 / 4
    assert value_of("r2", said) == pytest.approx(1 - 6 / 14)
    twice_the_last = weighted("r2", said, [[1], [1], [1], [2]])  # mean 3.6, squares 4 more
    assert twice_the_last == pytest.approx(1 - 10 / (1 + 4 + 9 + 36 + 36 - 5 * 3.6**2))
    for ndim in (1, 2):  # one number a label, or a column of one
        assert value_of("mse", said._replace(labels=labels.reshape(-1, *[1] * (ndim - 1)))) == 1.5


def test_metrics_of_classes_are_not_asked_of_numbers():
    numbers, classes = random_numbers(0), random_predictions(0)
    assert tells("mae", numbers)
    assert not tells("mae", classes)
    assert not tells("accuracy", numbers)
    for name, said in (("mae", classes), ("accuracy", numbers), ("auroc", numbers)):
        with pytest.raises(BadInputError, match=f"{name} is not of what was predicted"):
            value_of(name, said)


@pytest.mark.parametrize("name", metrics_of(CLASSES))
@pytest.mark.parametrize("absent", [(0,), (2, 3), (0, 1, 3, 4), (0, 1, 2, 3)])
def test_scores_are_those_of_the_records_where_classes_are_absent(name, absent):
    """Absent from the test set, though not from what is predicted; of one class nothing ranks."""
    there = [c for c in range(5) if c not in absent]
    labels = np.random.default_rng(0).choice(there, 200)
    for decimals in (8, 1):
        said = random_predictions(7, 200, 5, decimals, labels)
        told = by_record(name, said)
        assert (told is None) == (name == "auroc" and len(there) == 1)
        assert value_of(name, said) == (told if told is None else pytest.approx(told, abs=1e-5))


def test_every_metric_of_a_record_is_known_here():
    assert set(METRICS) == KNOWN


def test_a_perfect_classifier_has_an_auroc_of_one_whatever_classes_are_absent():
    labels = np.array([0, 1, 0, 1, 1, 0])
    said = Predictions(np.eye(3, dtype=np.float32)[labels], labels)
    assert value_of("auroc", said) == by_record("auroc", said) == 1.0


def test_auroc_is_scikit_learns_mean_over_the_classes_that_are_there():
    labels = np.random.default_rng(0).choice([0, 2, 3], 150)
    said = random_predictions(3, 150, 5, 1, labels)
    expected = np.mean([roc_auc_score(labels == c, said.probabilities[:, c]) for c in (0, 2, 3)])
    assert value_of("auroc", said) == pytest.approx(expected, abs=1e-6)
    assert by_record("auroc", said) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("there", [(0, 1, 2, 3, 4), (0, 2, 3), (1,)])
def test_balanced_accuracy_is_scikit_learns(there):
    """A class that is predicted and does not occur takes no part in its mean."""
    shares = np.arange(len(there), 0, -1) / sum(range(len(there) + 1))
    labels = np.random.default_rng(0).choice(there, 150, p=shares)
    said = random_predictions(3, 150, 5, 1, labels)
    expected = balanced_accuracy_score(labels, said.probabilities.argmax(axis=1))
    assert plain("balanced_accuracy", said) == pytest.approx(expected, abs=1e-6)
    assert by_record("balanced_accuracy", said) == pytest.approx(expected, abs=1e-6)


def test_balanced_accuracy_of_a_resample_is_of_the_classes_it_holds():
    """Three of class 0, two of them right, and one of class 1, wrong; without the last, 2/3."""
    labels = np.array([0, 0, 0, 1])
    said = Predictions(np.eye(2, dtype=np.float32)[[0, 0, 1, 0]], labels)
    found = weighted("balanced_accuracy", said, [[1, 1, 2], [1, 1, 0], [1, 1, 0], [1, 0, 1]])
    assert found == pytest.approx([(2 / 3 + 0) / 2, 2 / 3, (1 + 0) / 2])


def test_macro_f1_leaves_out_classes_that_neither_occur_nor_are_predicted():
    said = random_predictions(0, classes=3)
    wider = Predictions(np.pad(said.probabilities, ((0, 0), (0, 2))), said.labels)
    assert plain("macro_f1", wider) == pytest.approx(by_record("macro_f1", wider), abs=1e-6)
    assert plain("macro_f1", wider) == pytest.approx(plain("macro_f1", said))
    expected = f1_score(said.labels, said.probabilities.argmax(axis=1), average="macro")
    assert plain("macro_f1", said) == pytest.approx(expected, abs=1e-6)


def test_auroc_is_scikit_learns_and_needs_two_classes():
    said = random_predictions(1, classes=2, decimals=1)
    expected = roc_auc_score(said.labels, said.probabilities[:, 1])
    assert plain("auroc", said) == pytest.approx(expected, abs=1e-6)
    assert np.isnan(plain("auroc", Predictions(said.probabilities, np.zeros_like(said.labels))))


@pytest.mark.parametrize("name", RESAMPLED)
def test_a_weight_is_a_repetition(name):
    said = random_of(name, 2)
    weights = np.random.default_rng(0).integers(0, 3, size=(len(said.labels), 3))
    scores = weighted(name, said, weights)
    for column, found in zip(weights.T, scores, strict=True):
        again = Predictions(said.probabilities.repeat(column, 0), said.labels.repeat(column))
        assert found == pytest.approx(plain(name, again), abs=1e-6)


def test_every_metric_of_a_record_is_known_to_be_a_share_or_not():
    assert {name for name, metric in METRICS.items() if metric.is_share} == SHARES


@pytest.mark.parametrize("name", RESAMPLED)
def test_the_items_variance_is_what_new_test_sets_show(name):
    """Two fixed arms, 400 fresh test sets: the variance of their gain, found from one set alone."""

    def arms(seed):
        strong, labels = random_of(name, seed, 300), random_of(name, seed, 300).labels
        return strong, random_of(name, seed + 10**6, 300, decimals=2, labels=labels)

    gains = [plain(name, a) - plain(name, b) for a, b in map(arms, range(400))]
    told = np.mean([item_variances([[arms(seed)]], name).of_mean for seed in range(10)])
    assert (told / np.var(gains)) ** 0.5 == pytest.approx(1, abs=0.2)


def test_the_items_variance_is_the_same_each_time_and_zero_between_twins():
    one = random_predictions(0)
    pair = (one, random_predictions(5, labels=one.labels))
    assert item_variances([[pair]], "auroc").of_mean == item_variances([[pair]], "auroc").of_mean
    assert item_variances([[(one, one)]], "auroc").of_mean == 0
    nothing = Predictions(one.probabilities, np.zeros_like(one.labels))
    assert item_variances([[(nothing, nothing)]], "auroc") is None


def test_of_a_large_test_set_a_part_is_resampled_and_scaled():
    one = random_predictions(0, 16_000)
    other = random_predictions(1, 16_000, labels=one.labels)
    small = [Predictions(p.probabilities[:4_000], p.labels[:4_000]) for p in (one, other)]
    whole = item_variances([[(one, other)]], "macro_f1")
    part = item_variances([[(small[0], small[1])]], "macro_f1")
    assert (whole.items, part.items) == (16_000, 4_000)
    assert whole.of_mean / part.of_mean == pytest.approx(1 / 4, rel=0.35)


@pytest.mark.parametrize("name", RESAMPLED)
def test_a_row_of_five_blocks_takes_no_time(name):
    labels = random_of(name, 0, 800, classes=10).labels
    said = [random_of(name, s, 800, labels, classes=10) for s in range(10)]
    pairs = list(zip(said[:5], said[5:], strict=True))
    item_variances([pairs], name)
    spent = []
    for _ in range(3):
        start = time.process_time()
        item_variances([pairs], name)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.6  # 0.15 s on an idle core


def test_macro_f1_raises_no_more_false_alarms_than_it_says():
    """Planted: both arms are alike over all items there are; seeds alone see this set's luck."""
    rng = np.random.default_rng(11)
    alarms, studies, n, items, classes = {"both": 0, "seeds": 0}, 250, 5, 300, 3
    for _ in range(studies):
        labels = rng.integers(0, classes, items)
        hard = rng.normal(size=(2, items, classes))
        pairs = []
        for _ in range(n):
            luck = 0.6 * rng.normal(size=(2, items, classes))
            raised = np.exp(hard + luck + 1.5 * np.eye(classes)[labels])
            said = (raised / raised.sum(axis=2, keepdims=True)).astype(np.float32)
            pairs.append((Predictions(said[0], labels), Predictions(said[1], labels)))
        gains = np.array([plain("macro_f1", a) - plain("macro_f1", b) for a, b in pairs])
        variances = item_variances([pairs], "macro_f1")
        for key, estimate in (
            ("both", over_blocks_and_resamples(gains, variances)),
            ("seeds", over_blocks(gains)),
        ):
            low, high = estimate.interval()
            alarms[key] += not low <= 0 <= high
    assert 0.02 <= alarms["both"] / studies <= 0.08
    assert alarms["seeds"] / studies > 0.2


def test_of_clusters_whole_ones_are_drawn():
    """Ten copies of each of 40 items hold no more evidence than the 40 items alone."""
    one = random_predictions(0, 40)
    other = random_predictions(1, 40, labels=one.labels)
    tenfold = [
        Predictions(p.probabilities.repeat(10, 0), p.labels.repeat(10)) for p in (one, other)
    ]
    clusters = np.arange(40, dtype=np.int32).repeat(10)
    alone = item_variances([[(one, other)]], "macro_f1")
    within = item_variances([[(tenfold[0], tenfold[1])]], "macro_f1", clusters)
    apart = item_variances([[(tenfold[0], tenfold[1])]], "macro_f1")
    assert within.items == 40
    assert within.of_mean == pytest.approx(alone.of_mean, rel=1e-4)
    assert apart.of_mean < 0.2 * within.of_mean


@pytest.mark.parametrize("size", [30, 400])
def test_of_many_items_in_clusters_whole_clusters_are_kept(size):
    """Of 60 large clusters 50 are drawn from, of 600 small ones those of the first 4,000 items."""
    clusters = np.arange(60 if size == 400 else 600, dtype=np.int32).repeat(size)
    one = random_predictions(0, len(clusters), 2)
    pair = (one, random_predictions(1, len(clusters), 2, labels=one.labels))
    found = item_variances([[pair]], "macro_f1", clusters)
    assert found.items == clusters.max() + 1
    assert 0 < found.of_mean < 1e-4


def test_what_a_mean_over_items_leaves_is_what_the_items_say():
    """Accuracy, resampled as other metrics are: A + B − C is that of the items themselves."""
    rng = np.random.default_rng(2)
    shared, luck = 0.3 * rng.normal(size=(1, 400)), rng.normal(0, 0.05, (6, 1))
    gains = shared + rng.normal(size=(6, 400)) + luck
    weights = rng.multinomial(400, np.full(400, 1 / 400), size=4000).T
    drawn = gains @ weights / 400
    variances = ItemVariances(drawn.var(axis=1), float(drawn.mean(axis=0).var()), 400)
    resampled = over_blocks_and_resamples(gains.mean(axis=1), variances)
    by_item = over_blocks_and_items(gains)
    assert resampled.se == pytest.approx(by_item.se, rel=0.03)
    assert resampled.df == pytest.approx(by_item.df, rel=0.08)  # which varies as its square
    without = (resampled.se**2 + variances.left) ** 0.5
    assert without > 1.08 * resampled.se  # as wide as it was before C was taken out
