"""Where a cell's source weights come from: one checkpoint or a way of making them, or a placebo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfergrid.records.record import Record


def is_one_checkpoint(cell: Record) -> bool:
    """Return whether the source weights that the cell starts from are the same for all seeds.

    So they are, unless `source.seed=block` makes them anew, or the strategy starts before the
    source's training, from weights that are random.
    """
    source = cell.config.get("source")
    if cell.names.source is None or not source:
        return False
    weights = _before_training(source) if cell.needs.get("source") == "start" else source
    return weights is not None and not _is_made_anew(weights)


def knows_its_task(cell: Record) -> bool:
    """Return whether the weights that the strategy got had learned the source's own task.

    Those of a placebo have not, nor those that a strategy has which trains on the source itself:
    what such a cell gains there is learned anew, and nothing that could have been forgotten.
    """
    learns_it = cell.needs.get("source") == "start"
    return cell.names.source is not None and not (learns_it or is_placebo(cell))


def _before_training(source: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the weights before the source's training; what is not trained here is all before."""
    start = (source.get("about") or {}).get("start", "start")  # early records do not say
    before = source.get(start, source)
    return before if isinstance(before, Mapping) else None


def _is_made_anew(source: Mapping[str, Any]) -> bool:
    """Return whether it is trained in each seed block, or a placebo of what is."""
    of = source.get("of")
    return source.get("seed") == "block" or (isinstance(of, Mapping) and _is_made_anew(of))


def is_placebo(cell: Record) -> bool:
    """Return whether its source is one that has nothing to teach."""
    source = cell.config.get("source") or {}
    return cell.names.source is not None and str(source.get("_target_", "")).endswith(".Placebo")
