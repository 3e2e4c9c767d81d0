"""Where a cell's source weights come from: one fixed checkpoint, new training, or a placebo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfergrid.records.record import Record


def is_one_checkpoint(cell: Record) -> bool:
    """Return whether a cell starts from source weights that are the same for all seeds.

    They are not if `source.seed=block` trains them for each seed block, if the strategy starts from
    random weights before the source's training, or if there is no source.
    """
    source = cell.config.get("source")
    if cell.names.source is None or not source:
        return False
    weights = _before_training(source) if cell.needs.get("source") == "start" else source
    return weights is not None and not _is_made_anew(weights)


def knows_its_task(cell: Record) -> bool:
    """Return whether the weights that the strategy received had learned the source's task.

    The weights of a placebo have not. Neither have the weights of a strategy that needs `start` and
    trains on the source itself: it cannot forget what it had not learned before.
    """
    learns_it = cell.needs.get("source") == "start"
    return cell.names.source is not None and not (learns_it or is_placebo(cell))


def _before_training(source: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the config of the weights before the source's training; None if they are random.

    A source that is not trained here is returned as it is.
    """
    start = (source.get("about") or {}).get("start", "start")  # early records lack it
    before = source.get(start, source)
    return before if isinstance(before, Mapping) else None


def _is_made_anew(source: Mapping[str, Any]) -> bool:
    """Return whether a source, or the source that it wraps, is trained anew for each seed block."""
    of = source.get("of")
    return source.get("seed") == "block" or (isinstance(of, Mapping) and _is_made_anew(of))


def is_placebo(cell: Record) -> bool:
    """Return whether the cell's source is a placebo, which has nothing to transfer."""
    source = cell.config.get("source") or {}
    return cell.names.source is not None and str(source.get("_target_", "")).endswith(".Placebo")
