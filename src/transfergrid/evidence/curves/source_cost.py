"""The cost of the source that an arm starts from, as far as records contain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transfergrid.records.record import Record

SHARED = "both arms start from this source: there is nothing to charge one of them for"
DOWNLOADED = "the weights were not trained here, and what they cost is not recorded"
PARTLY = "it was trained here from weights whose own cost is not recorded: charged is the rest"
IN_STEPS = (
    "it starts from random weights and sees the source's examples in its own steps; how many "
    "labelled ones there are is not recorded"
)


@dataclass(frozen=True)
class SourceCost:
    """The cost of training a source; None means unknown, not zero."""

    steps: int | None
    """Batches it was trained on, including those of a teacher."""
    labels: int | None
    """Labelled examples it was trained on; those used for validation are not recorded."""
    seconds: float | None
    """Seconds of its training, on the machine that did it, including a teacher's."""
    teacher_steps: int = 0
    note: str = ""
    """Why a cost is unknown, or why there is nothing to charge."""


def source_cost(pairs: Sequence[tuple[Record, Record]]) -> SourceCost:
    """Return the cost of an arm's source, the largest over its seed blocks.

    Args:
        pairs: (arm, baseline) cells of one arm, at least one.
    """
    cell, base = pairs[0]
    if _is_shared(cell, base):
        return SourceCost(0, 0, 0.0, note=SHARED)
    cards = [dict(arm.source or {}) for arm, _ in pairs]
    teacher = max(arm.budget.teacher_steps for arm, _ in pairs)
    taught = max(arm.cost.seconds.teacher for arm, _ in pairs) if teacher else 0.0
    if all("steps" in card for card in cards):
        steps = max(int(card["steps"]) for card in cards) + teacher
        labels = max(int(card.get("train_labels", card["train_examples"])) for card in cards)
        seconds = max(float(card["seconds"]) for card in cards) + taught
        note = PARTLY if _start(cell.config.get("source")) else ""
        return SourceCost(steps, labels, seconds, teacher, note)
    if _starts_random(cell):
        return SourceCost(teacher, None, taught, teacher, IN_STEPS)
    return SourceCost(None, None, None, teacher, DOWNLOADED)


def _is_shared(cell: Record, base: Record) -> bool:
    return base.names.source is not None and cell.config.get("source") == base.config.get("source")


def _start(source: Mapping[str, Any] | None) -> Any:
    """Return the config of the weights that a source's training started from; None if random."""
    if not source:
        return None
    of = source.get("of")
    return _start(of) if isinstance(of, Mapping) else source.get("start")


def _starts_random(cell: Record) -> bool:
    """Return whether the arm starts from random weights and trains on the source itself."""
    source = cell.config.get("source") or {}
    told = (source.get("about") or {}).get("start")
    before = cell.needs.get("source") == "start"
    return bool(before and told and source.get(told) is None)
