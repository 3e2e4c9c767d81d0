"""The noise in a grid that was run, as parameters for simulations."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.calibration.planted import Noise, correlation, disagreement
from transfergrid.evidence.measured.arms import baselines_of, grouped
from transfergrid.evidence.measured.gains import paired
from transfergrid.evidence.measured.outcomes import Read, right, shared_items
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.verdicts.families import kind_of
from transfergrid.evidence.verdicts.verdict import TRANSFER
from transfergrid.records.errors import BadInputError
from transfergrid.records.metrics import is_of_numbers

MOST_ARMS = 200
"""The largest number of arms inspected; of more arms an even subset is used, as only medians are
needed."""
_ENDS = 0.02, 0.98


@dataclass(frozen=True)
class Observed:
    """The properties of a grid: medians over its arms."""

    noise: Noise
    seeds: int
    family: int
    """The number of arms with the same target, label budget and baseline."""
    arms: int
    """The number of inspected arms."""


class _Arm(NamedTuple):
    seeds: int
    items: int
    accuracy: float
    across: float
    """Latent correlation with the baseline in the same block."""
    within: float | None
    """Latent correlation between two seeds of the arm or of its baseline; None for one seed."""
    variance: float | None
    """The variance of the gain over seeds, in points², on an infinite test set; may be negative by
    chance."""
    classes: int


def observed(results: Iterable[Result], read: Read) -> Observed:
    """Return the noise in arms with a source, a primary baseline and predictions.

    Placebos are left out. Whatever the deciding metric, the noise of accuracy is measured.

    Raises:
        BadInputError: no arm has all three.
    """
    given = list(results)
    by_id = {result.id: result for result in given if not is_of_numbers(result.metric.name)}
    if given and not by_id:
        raise BadInputError(
            "calibrate plants items that are right or wrong, and these results are of numbers: "
            "without a folder it takes --seeds, --items and --sd as given"
        )
    pairs = [
        found
        for cells in grouped(by_id.values()).values()
        if kind_of(cells[0]) == TRANSFER and (found := paired(cells, baselines_of(cells, by_id)))
    ]
    step = -(-len(pairs) // MOST_ARMS) or 1
    arms = [arm for found in pairs[::step] if (arm := _arm(found, read)) is not None]
    if not arms:
        raise BadInputError(
            "no arm has a source, a baseline and predictions of its test items to learn from"
        )
    collapsed = [cell.flags.collapsed for found in pairs for cell, _ in found]
    return Observed(
        _noise(arms, sum(collapsed) / len(collapsed)),
        _median([arm.seeds for arm in arms]),
        _median(_family_sizes(pairs)),
        len(arms),
    )


def _family_sizes(pairs: Sequence[list[tuple[Result, Result]]]) -> list[int]:
    """Return the size of each arm's family."""
    families = [(cell.parts.target, cell.labels, base.names.strategy) for (cell, base), *_ in pairs]
    sizes = Counter(families)
    return [sizes[family] for family in families]


def _noise(arms: Sequence[_Arm], collapsed: float) -> Noise:
    """Return the medians; defaults where no arm can tell because it has a single seed."""
    default = Noise()
    accuracy = float(np.clip(statistics.median(arm.accuracy for arm in arms), *_ENDS))
    across = statistics.median(arm.across for arm in arms)
    known = [arm.within for arm in arms if arm.within is not None]
    usual = default.correlations()[1]
    within = max(statistics.median(known) if known else usual, across)
    variances = [arm.variance for arm in arms if arm.variance is not None]
    variance = statistics.median(variances) if variances else default.sd**2
    return Noise(
        items=_median([arm.items for arm in arms]),
        sd=max(variance, 0.0) ** 0.5,
        accuracy=100 * accuracy,
        disagreement=100 * disagreement(accuracy, across),
        same_arm=100 * disagreement(accuracy, within),
        classes=_median([arm.classes for arm in arms]),
        collapse=min(collapsed, 0.9) or default.collapse,
    )


def _median(values: Sequence[int]) -> int:
    return int(statistics.median_high(values))


def _arm(pairs: Sequence[tuple[Result, Result]], read: Read) -> _Arm | None:
    try:
        both = [[right(read, cell.id) for cell in pair] for pair in pairs]
        classes = read(pairs[0][0].id).probabilities.shape[1]
    except BadInputError:  # predictions were not kept
        return None
    if not shared_items([side for pair in both for side in pair]) or both[0][0].n < 2:
        return None
    hits = np.array([[side.unpacked() for side in pair] for pair in both], dtype=np.float64)
    arm, base = hits[:, 0], hits[:, 1]
    n, items = arm.shape
    within = [_same_arm(side) for side in (arm, base)] if n > 1 else []
    return _Arm(
        n,
        items,
        float(arm.mean()),
        _correlation(arm.mean(), base.mean(), (arm * base).mean()),
        statistics.fmean(within) if within else None,
        _seed_variance(100 * (arm - base)) if n > 1 else None,
        max(classes, 2),
    )


def _same_arm(hits: NDArray[np.float64]) -> float:
    """Return the latent correlation between two seeds of one arm, given its hits (n, N)."""
    n, sums = len(hits), hits.sum(axis=0)
    both = float((sums * (sums - 1)).mean()) / (n * (n - 1))
    return _correlation(hits.mean(), hits.mean(), both)


def _correlation(one: float, other: float, both: float) -> float:
    first, second = (float(np.clip(share, *_ENDS)) for share in (one, other))
    return correlation(first, second, float(both))


def _seed_variance(gains: NDArray[np.float64]) -> float:
    """Return the variance of block gains (n, N), minus the part due to residual item noise."""
    n, items = gains.shape
    blocks = gains.mean(axis=1)
    left = gains - blocks[:, None] - gains.mean(axis=0) + gains.mean()
    return float(blocks.var(ddof=1) - (left**2).sum() / ((n - 1) * (items - 1)) / items)
