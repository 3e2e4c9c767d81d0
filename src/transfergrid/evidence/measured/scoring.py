"""Metrics as the evidence computes them: from predictions, and on resampled test sets.

The scores of a record come from torchmetrics. The functions here agree with them, but represent a
resample of the test items by a weight per item, so that many resamples are scored at once, without
torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.measured.outcomes import Read, rights, shared_items
from transfergrid.evidence.statistics.intervals import ItemVariances
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions, unpacked
from transfergrid.records.metrics import is_of_numbers

Weights = NDArray[np.float32]
"""(items, resamples): how often each item occurs in each resample."""
Weighted = Callable[[Predictions, Weights], NDArray[np.float64]]

RESAMPLES = 300  # the standard error of a standard error is then 4 %
MOST_ITEMS = 4_000  # resampled; with more items the variance is scaled by 1/N
FEWEST_CLUSTERS = 50  # at least so many are resampled, whatever their size
BINS = 15
_WIDTH = float(np.float32(1 / BINS))
EDGES = np.array(
    [i * _WIDTH if 2 * i <= BINS else 1 - (BINS - i) * _WIDTH for i in range(BINS + 1)], np.float32
)
"""The edges of bins of equal width, bit by bit those of PyTorch's linspace."""


def balanced_accuracy(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return the mean recall (resamples,) over the classes that occur in a resample."""
    classes = said.probabilities.shape[1]
    there = _sums(said.labels, weights, classes)
    hits = _sums(said.labels, weights * said.correct()[:, None], classes)
    recall = np.divide(hits, there, out=np.zeros_like(there), where=there > 0)
    return np.asarray(recall.sum(axis=0) / (there > 0).sum(axis=0))


def macro_f1(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return F1 (resamples,), the mean over classes that occur or are predicted in a resample."""
    classes = said.probabilities.shape[1]
    hits = _sums(said.labels, weights * said.correct()[:, None], classes)
    both = _sums(said.labels, weights, classes)
    both += _sums(said.probabilities.argmax(axis=1), weights, classes)
    seen = both > 0
    f1 = np.divide(2 * hits, both, out=np.zeros_like(both), where=seen)
    return np.asarray(f1.sum(axis=0) / seen.sum(axis=0))


def auroc(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return the area under the ROC curve (resamples,), one class against the rest, macro-averaged.

    A class that does not occur in a resample, or is the only one, has no area and is left out of
    the mean. A resample in which no class has an area gets NaN.
    """
    classes = range(said.probabilities.shape[1])
    areas = np.stack([_area(said.probabilities[:, c], said.labels == c, weights) for c in classes])
    known = ~np.isnan(areas)
    count = known.sum(axis=0)
    return _ratio(np.where(known, areas, 0).sum(axis=0), count)


def ece(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return the expected calibration error (resamples,): L1, 15 bins of equal width."""
    confidence = said.probabilities.max(axis=1)
    bins = np.digitize(confidence, EDGES) - 1  # a confidence of 1 gets its own bin
    gaps = _sums(bins, weights * (said.correct() - confidence)[:, None], BINS + 1)
    return np.asarray(np.abs(gaps).sum(axis=0) / weights.sum(axis=0, dtype=np.float64))


def r2(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return the coefficient of determination (resamples,), the mean over outputs.

    NaN for a resample in which all labels of an output are equal.
    """
    labels, weights = _rows(said.labels), weights.astype(np.float64)
    items = weights.sum(axis=0)
    labels = labels - labels.mean(axis=0)  # centred, as large numbers lose digits
    squares = (_rows(said.values) - _rows(said.labels)) ** 2
    found = []
    for column in range(labels.shape[1]):
        own = labels[:, column]
        means = (own @ weights) / items
        there = (own**2) @ weights - items * means**2
        alike = there <= ALIKE * (own**2).sum()
        part = _ratio(squares[:, column] @ weights, np.where(alike, 0, there))
        found.append(1 - part)
    return np.asarray(np.mean(found, axis=0))


def rmse(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return the root of the mean squared error (resamples,), which is a mean over outputs too."""
    weights = weights.astype(np.float64)
    return np.asarray(np.sqrt(squared_errors(said) @ weights / weights.sum(axis=0)))


ALIKE = 1e-12
"""The share of the total sum of squares that a resample's must exceed; below, its labels count as
equal."""


def _rows(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(len(values), -1)


def _table(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return how many items of each class lie in each cluster (classes, clusters, resamples)."""
    clusters = said.probabilities.shape[1]
    classes = int(said.labels.max(initial=0)) + 1
    cell = said.labels * clusters + said.probabilities.argmax(axis=1)
    counts = _sums(cell, weights, classes * clusters).astype(np.float64)
    return counts.reshape(classes, clusters, -1)


def _entropy(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy (resamples,) in nats of counts (..., resamples)."""
    flat = counts.reshape(-1, counts.shape[-1])
    shares = flat / flat.sum(axis=0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=0))


def nmi(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return 2 I / (H + H') (resamples,) of classes and clusters; 1 if there is one of each."""
    table = _table(said, weights)
    own, found = _entropy(table.sum(axis=1)), _entropy(table.sum(axis=0))
    both = own + found
    shared = np.clip(both - _entropy(table), 0, None)
    return np.clip(np.divide(2 * shared, both, out=np.ones_like(both), where=both > 0), 0, 1)


def ari(said: Predictions, weights: Weights) -> NDArray[np.float64]:
    """Return the adjusted Rand index (resamples,): agreement of pairs above chance; at least 0."""

    def pairs(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = counts.reshape(-1, counts.shape[-1])
        return np.asarray((flat * (flat - 1) / 2).sum(axis=0))

    table = _table(said, weights)
    together, own, found = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    chance = own * found / np.maximum(pairs(weights.sum(axis=0, dtype=np.float64)), 1)
    most = (own + found) / 2 - chance
    index = np.divide(together - chance, most, out=np.ones_like(most), where=most > 0)
    return np.clip(index, 0, 1)


def item_losses(said: Predictions) -> NDArray[np.float64]:
    """Return the cross-entropy of each item (n,) in nats."""
    true = said.probabilities[np.arange(len(said.labels)), said.labels]
    return np.asarray(-np.log(np.maximum(true.astype(np.float64), LEAST)))


def squared_errors(said: Predictions) -> NDArray[np.float64]:
    """Return the squared error of each item (n,), the mean over outputs."""
    return np.asarray(((_rows(said.values) - _rows(said.labels)) ** 2).mean(axis=1))


def absolute_errors(said: Predictions) -> NDArray[np.float64]:
    """Return the absolute error of each item (n,), the mean over outputs."""
    return np.asarray(np.abs(_rows(said.values) - _rows(said.labels)).mean(axis=1))


RESAMPLED: dict[str, Weighted] = {
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "auroc": auroc,
    "ece": ece,
    "r2": r2,
    "nmi": nmi,
    "ari": ari,
    "rmse": rmse,
}
"""The metrics that are not a mean over items."""
BY_ITEM = "accuracy"
"""The metric that is a mean over items that are right or wrong."""
ERRORS: dict[str, Callable[[Predictions], NDArray[np.float64]]] = {
    "loss": item_losses,
    "mse": squared_errors,
    "mae": absolute_errors,
}
"""The metrics that are a mean over items' errors."""
KNOWN = frozenset({BY_ITEM, *RESAMPLED, *ERRORS})
"""The metrics that can be computed from predictions."""
LEAST = 1e-12
"""The smallest probability used: so the loss of one item is at most 27.6 nats."""


def tells(metric: str, said: Predictions) -> bool:
    """Return whether a metric fits these predictions: both are of classes, or both of numbers."""
    return metric in KNOWN and is_of_numbers(metric) == said.of_numbers


def check_tells(metric: str, said: Predictions) -> None:
    """Raise `BadInputError` unless a metric fits these predictions."""
    if not tells(metric, said):
        raise BadInputError(f"{metric} is not of what was predicted")


def errors_by_item(metric: str, said: Predictions) -> NDArray[np.float64]:
    """Return the error of each item (n,) in a metric of `ERRORS`; raises as `value_of` does."""
    check_tells(metric, said)
    return ERRORS[metric](said)


def scores_by_item(cells: Sequence[str], metric: str, read: Read) -> NDArray[Any]:
    """Return whether each cell was right on each item, or its error there (cells, items).

    Raises:
        BadInputError: predictions were not kept, or are not on the same items in the same order.
    """
    found = rights(read, cells)
    if not shared_items(found):
        raise BadInputError("the seeds were not tested on the same items")
    if metric in ERRORS:
        return np.stack([errors_by_item(metric, read(identity)) for identity in cells])
    return unpacked(found).astype(np.int8)


def value_of(metric: str, said: Predictions) -> float | None:
    """Return a metric of `KNOWN` in its own unit; None if it is undefined.

    The value equals that of a record, which is computed with torch.

    Raises:
        BadInputError: the metric is for classes and the predictions are numbers, or the reverse.
    """
    if metric in ERRORS:
        return float(errors_by_item(metric, said).mean())
    check_tells(metric, said)
    if metric == BY_ITEM:
        return float(said.correct().mean())
    once = np.ones((len(said.labels), 1), dtype=np.float32)
    value = float(RESAMPLED[metric](said, once)[0])
    return value if np.isfinite(value) else None


def item_variances(
    several: Sequence[Sequence[tuple[Predictions, Predictions]]],
    metric: str,
    clusters: NDArray[np.int32] | None = None,
) -> ItemVariances | None:
    """Return the variances of the gains due to the test items, by a paired bootstrap.

    Each resample contains the same items for both arms of all blocks. The resamples are drawn with
    a fixed seed.

    Args:
        several: for each comparison, in each block the predictions of the arm and of its baseline;
            all on the same items. The gains of a block are averaged over comparisons.
        metric: one of `RESAMPLED`.
        clusters: (items,), numbered from 0; items of one cluster depend on each other, so whole
            clusters are drawn.

    Returns:
        None if the metric is not defined on enough resamples.
    """
    n_items = len(several[0][0][0].labels)
    drawn = np.arange(n_items, dtype=np.int32) if clusters is None else clusters
    kept = _kept(drawn)
    units, of = np.unique(drawn[kept], return_inverse=True)
    weights = _resamples(len(units))[of]
    each = [[_gain_in_each(pair, metric, kept, weights) for pair in pairs] for pairs in several]
    gains = np.mean(each, axis=0)
    valid = gains[:, np.isfinite(gains).all(axis=0)]
    if valid.shape[1] < RESAMPLES // 2:
        return None
    n_units = int(drawn.max()) + 1
    share = len(units) / n_units
    by_block, of_mean = valid.var(axis=1, ddof=1), float(valid.mean(axis=0).var(ddof=1))
    return ItemVariances(by_block * share, of_mean * share, n_units)


def _gain_in_each(
    pair: tuple[Predictions, Predictions], metric: str, kept: NDArray[np.int64], weights: Weights
) -> NDArray[np.float64]:
    """Return the arm's score minus the baseline's (resamples,)."""
    arm, baseline = (
        RESAMPLED[metric](Predictions(side.probabilities[kept], side.labels[kept]), weights)
        for side in pair
    )
    return arm - baseline


def _kept(drawn: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the indices of the items to resample: all, or those of as many clusters as affordable.

    Args:
        drawn: (items,), the unit that each item is drawn with, numbered from 0.
    """
    if len(drawn) <= MOST_ITEMS:
        return np.arange(len(drawn))
    n_units = int(drawn.max()) + 1
    rank = np.empty(n_units, dtype=np.int64)
    rank[np.random.default_rng(0).permutation(n_units)] = np.arange(n_units)
    sizes = np.bincount(drawn, minlength=n_units)[np.argsort(rank)]
    affordable = int((sizes.cumsum() <= MOST_ITEMS).sum())
    return np.flatnonzero(rank[drawn] < max(affordable, min(n_units, FEWEST_CLUSTERS)))


@lru_cache(maxsize=2)
def _resamples(n_items: int) -> Weights:
    drawn = np.random.default_rng(0).integers(0, n_items, (n_items, RESAMPLES))
    cells = drawn * RESAMPLES + np.arange(RESAMPLES)
    counts = np.bincount(cells.ravel(), minlength=n_items * RESAMPLES)
    weights = counts.reshape(n_items, RESAMPLES).astype(np.float32)
    weights.flags.writeable = False  # shared by all rows of a table
    return weights


def _sums(groups: NDArray[np.int64], values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return the sums (n, resamples) of the values (items, resamples) over each group of items."""
    member = np.arange(n)[:, None] == groups
    return np.asarray(member.astype(np.float32) @ values)


def _area(
    scores: NDArray[np.float32], positive: NDArray[np.bool_], weights: Weights
) -> NDArray[np.float64]:
    """Return the share of (positive, negative) pairs ranked right (resamples,); ties count half.

    NaN without any pair.
    """
    order = np.argsort(scores[~positive], kind="stable")
    negatives, below = scores[~positive][order], weights[~positive][order]
    under = np.concatenate([np.zeros_like(weights[:1]), below.cumsum(axis=0)])
    first = under[np.searchsorted(negatives, scores[positive], "left")]
    last = under[np.searchsorted(negatives, scores[positive], "right")]
    above = weights[positive]
    wins = np.einsum("ir,ir->r", above, (first + last) / 2, dtype=np.float64)
    pairs = above.sum(axis=0, dtype=np.float64) * under[-1]
    return _ratio(wins, pairs)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return part / whole; NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))
