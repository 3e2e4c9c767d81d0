"""Gains within classes or groups of the test items, where harm can hide behind a good mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.measured.comparisons import places_of
from transfergrid.evidence.measured.outcomes import Read, clusters, labels
from transfergrid.evidence.measured.scoring import BY_ITEM, ERRORS, scores_by_item
from transfergrid.evidence.statistics.intervals import (
    Estimate,
    each_over_blocks_and_items,
    over_blocks_and_clusters,
)
from transfergrid.evidence.verdicts.decisions import Decision, Rules, decide
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.records.metrics import CLUSTERS, is_of_numbers, kind_of

By = Literal["class", "group"]


def part_gains(
    verdict: Verdict,
    read: Read,
    by: By = "class",
    classes: Sequence[str] = (),
    rules: Rules | None = None,
    level: float | None = None,
) -> list[Verdict]:
    """Return the verdict within each class or group, sorted by gain, the most harmed first.

    In a returned verdict `group` is the part's name and `items` its number of items. In
    classification the gain is in accuracy (within a class this is its recall), in regression in the
    metric on the items of a group. The parts of one comparison form a family: their p values are
    corrected together.

    Args:
        verdict: the verdict of the comparison.
        read: returns a cell's predictions.
        by: "class", or "group" for the groups that the target defines.
        classes: the class names in label order; a class without a name is shown by its number.
        rules: the declared rules.
        level: the error rate of all parts together; by default `rules.alpha`.

    Raises:
        BadInputError: predictions were not kept, the blocks were not tested on the same items, or
            the target has no groups.
    """
    metric = _by_item(verdict.metric, by)
    arm, base = (_items(cells, read, metric) for cells in (verdict.cells, verdict.baseline_cells))
    places, within = _places(read, verdict.cells[0], by, classes)
    gains = base - arm if metric in ERRORS else arm - base
    inside = _inside(arm, base, gains, list(places.values()), within)
    estimates, of_blocks = [one.estimate for one in inside], [one.gains for one in inside]
    decided = decide(estimates, of_blocks, rules or Rules(), level, ahead=False)
    found = [
        _part(verdict, name, one, decision)
        for name, one, decision in zip(places, inside, decided, strict=True)
    ]
    return sorted(found, key=lambda part: part.gain or 0.0)


class _Inside(NamedTuple):
    """The measurements on the items of one part."""

    items: int
    mean: float
    baseline_mean: float
    gains: NDArray[np.float64]
    """(blocks,), the gain of each block."""
    estimate: Estimate


def _inside(
    arm: NDArray[np.float64],
    base: NDArray[np.float64],
    gains: NDArray[np.float64],
    places: Sequence[NDArray[np.int64]],
    clusters: NDArray[np.int32] | None,
) -> list[_Inside]:
    """Return each part's measurements, given its item indices; parts of equal size in one batch."""
    found: dict[int, _Inside] = {}
    for size in dict.fromkeys(map(len, places)):
        alike = [i for i, rows in enumerate(places) if len(rows) == size]
        rows = np.stack([places[i] for i in alike])
        own = _taken(gains, rows)
        means = (_taken(side, rows).mean(axis=(1, 2)).tolist() for side in (arm, base))
        if clusters is None:
            estimates = each_over_blocks_and_items(own)
        else:
            estimates = [
                over_blocks_and_clusters(part, _clusters_of(clusters, places[i]))
                for part, i in zip(own, alike, strict=True)
            ]
        told = zip(repeat(size), *means, own.mean(axis=2), estimates, strict=False)
        found |= dict(zip(alike, map(_Inside._make, told), strict=True))
    return [found[i] for i in range(len(places))]


def _taken(values: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return `values` (blocks, items) at the indices `rows` (parts, n): (parts, blocks, n)."""
    return values.T[rows].transpose(0, 2, 1)


def _clusters_of(
    clusters: NDArray[np.int32] | None, rows: NDArray[np.int64]
) -> NDArray[np.int32] | None:
    """Return the clusters of some items, renumbered from 0; None if the items are independent."""
    if clusters is None:
        return None
    names, of = np.unique(clusters[rows], return_inverse=True)
    return None if len(names) == len(rows) else of.astype(np.int32)


def _part(whole: Verdict, name: str, one: _Inside, decision: Decision) -> Verdict:
    estimate = one.estimate
    low, high = estimate.interval()
    own = is_of_numbers(whole.metric)
    return whole.but(
        metric=whole.metric if own else "accuracy",
        unit=whole.unit if own else "%",
        group=name,
        items=one.items,
        mean=one.mean,
        baseline_mean=one.baseline_mean,
        gain=estimate.mean,
        low=low,
        high=high,
        se=estimate.se,
        p=decision.p,
        p_corrected=decision.p_corrected,
        verdict=decision.kind,
        beyond_margin=False,
        notes=(decision.why,) if decision.why else (),
    )


def _by_item(metric: str, by: By) -> str:
    """Return the metric for scoring parts, which is a mean over items."""
    if kind_of(metric) == CLUSTERS:
        raise BadInputError(
            f"{metric} is of clusters, of which none is right or wrong by itself: "
            "table --by-group scores each group by itself"
        )
    if not is_of_numbers(metric):
        return BY_ITEM
    if by == "class":
        raise BadInputError(
            f"{metric} is of numbers, of which none is right or wrong, and which have no classes: "
            "--show groups takes gains apart by group of test items"
        )
    if metric not in ERRORS:
        raise BadInputError(
            f"{metric} is no mean over test items: table --by-group scores each group by itself"
        )
    return metric


def _items(cells: Sequence[str], read: Read, metric: str) -> NDArray[np.float64]:
    """Return each cell's score on each item (blocks, items): 0 or 100 per cent, or errors."""
    if not cells:
        raise BadInputError("nothing to take apart: no seed in which both arms have a score")
    scores = scores_by_item(cells, metric, read).astype(np.float64)
    return scores if metric in ERRORS else 100.0 * scores


def _places(
    read: Read, cell: str, by: By, classes: Sequence[str]
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int32] | None]:
    """Return the item indices of each part, and the cluster of each item (None if independent)."""
    if by == "group":
        said = read(cell)
        if said.groups is None:
            raise BadInputError("the target has no groups: target.group_column names one")
        return places_of(said.groups), said.clusters
    of = labels(read, cell)
    known = np.unique(of)
    names = {int(k): classes[int(k)] if int(k) < len(classes) else str(k) for k in known}
    return {names[int(k)]: np.flatnonzero(of == k) for k in known}, clusters(read, cell)
