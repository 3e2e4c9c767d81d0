"""What it took to make the source that an arm starts from, as far as records tell."""

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
    """What a source cost to make; None is unknown, which is not nothing."""

    steps: int | None
    """Batches it was trained on, a teacher's included."""
    labels: int | None
    """Labelled examples that it was trained on; those that validated it are not recorded."""
    seconds: float | None
    """Of its training, on the machine that did it; a teacher's included."""
    teacher_steps: int = 0
    note: str = ""
    """Why something is unknown, or why there is nothing to charge."""


def source_cost(pairs: Sequence[tuple[Record, Record]]) -> SourceCost:
    """Return what the source of an arm cost, the most of any seed block.

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
    """Return the config of the weights that a source's training began with; None if random."""
    if not source:
        return None
    of = source.get("of")
    return _start(of) if isinstance(of, Mapping) else source.get("start")


def _starts_random(cell: Record) -> bool:
    """Return whether the arm starts before the source's training, from random weights."""
    source = cell.config.get("source") or {}
    told = (source.get("about") or {}).get("start")
    before = cell.needs.get("source") == "start"
    return bool(before and told and source.get(told) is None)
