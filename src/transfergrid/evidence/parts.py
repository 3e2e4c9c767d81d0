"""Gains within classes or groups of the test items: harm hides there while the mean looks fine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.comparisons import places_of
from transfergrid.evidence.decisions import Decision, Rules, decide
from transfergrid.evidence.outcomes import Read, clusters, labels
from transfergrid.evidence.scoring import BY_ITEM, ERRORS, scores_by_item
from transfergrid.evidence.statistics.intervals import Estimate, over_blocks_and_clusters
from transfergrid.evidence.verdicts import Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.records.metrics import is_of_numbers

By = Literal["class", "group"]


def part_gains(
    verdict: Verdict,
    read: Read,
    by: By = "class",
    classes: Sequence[str] = (),
    rules: Rules | None = None,
    level: float | None = None,
) -> list[Verdict]:
    """Return the verdict within each class or group, ordered by gain, the most harmed first.

    `group` names the part, `items` counts it. Gains are in accuracy, of a class in its recall; of
    numbers in the metric, on the items of a group. The parts of one comparison are a family of
    their own: p values are corrected over them.

    Args:
        verdict: of the comparison.
        read: gives a cell's predictions.
        by: "class", or "group" as the target names them.
        classes: their names in label order; numbers where there are none.
        rules: as declared.
        level: the error that all parts together may make; by default `rules.alpha`.

    Raises:
        BadInputError: predictions were not kept, the blocks were not tested on the same items, or
            the target has no groups.
    """
    metric = _by_item(verdict.metric, by)
    arm, base = (_items(cells, read, metric) for cells in (verdict.cells, verdict.baseline_cells))
    places, within = _places(read, verdict.cells[0], by, classes)
    gains = base - arm if metric in ERRORS else arm - base
    inside = [gains[:, rows] for rows in places.values()]
    estimates = [
        over_blocks_and_clusters(part, _clusters_of(within, rows))
        for part, rows in zip(inside, places.values(), strict=True)
    ]
    decided = decide(
        estimates, [part.mean(axis=1) for part in inside], rules or Rules(), level, ahead=False
    )
    found = [
        _part(verdict, name, rows, estimate, decision, arm, base)
        for (name, rows), estimate, decision in zip(places.items(), estimates, decided, strict=True)
    ]
    return sorted(found, key=lambda part: part.gain or 0.0)


def _clusters_of(
    clusters: NDArray[np.int32] | None, rows: NDArray[np.int64]
) -> NDArray[np.int32] | None:
    """Return the clusters of some items, counted anew from 0; None where they are independent."""
    if clusters is None:
        return None
    names, of = np.unique(clusters[rows], return_inverse=True)
    return None if len(names) == len(rows) else of.astype(np.int32)


def _part(
    whole: Verdict,
    name: str,
    rows: NDArray[np.int64],
    estimate: Estimate,
    decision: Decision,
    arm: NDArray[np.float64],
    base: NDArray[np.float64],
) -> Verdict:
    low, high = estimate.interval()
    own = is_of_numbers(whole.metric)
    return whole.but(
        metric=whole.metric if own else "accuracy",
        unit=whole.unit if own else "%",
        group=name,
        items=len(rows),
        mean=float(arm[:, rows].mean()),
        baseline_mean=float(base[:, rows].mean()),
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
    """Return the metric that parts are scored by, which is a mean over items."""
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
    """Return the score of each item by each cell (blocks, items): per cent right, or errors."""
    if not cells:
        raise BadInputError("nothing to take apart: no seed in which both arms have a score")
    scores = scores_by_item(cells, metric, read).astype(np.float64)
    return scores if metric in ERRORS else 100.0 * scores


def _places(
    read: Read, cell: str, by: By, classes: Sequence[str]
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int32] | None]:
    """Return where the items of each part stand, and what items depend on."""
    if by == "group":
        said = read(cell)
        if said.groups is None:
            raise BadInputError("the target has no groups: target.group_column names one")
        return places_of(said.groups), said.clusters
    of = labels(read, cell)
    known = np.unique(of)
    names = {int(k): classes[int(k)] if int(k) < len(classes) else str(k) for k in known}
    return {names[int(k)]: np.flatnonzero(of == k) for k in known}, clusters(read, cell)
