"""Why a cell did worse than its baseline: the likely causes, from the cell's own diagnostics.

Each cause is judged separately, from 0 to 1, by thresholds that are documented beside their
functions (`causes`, `causes_of_data`), and the causes are ranked. This interprets the signs of one
run and proves nothing; the proof is to try the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transfergrid.evidence.autopsy import causes, causes_of_data
from transfergrid.evidence.autopsy.case import Case, Cause
from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.statistics.intervals import Estimate
from transfergrid.records.record import Record

STANDS_OUT = 0.3
"""The strength from which a cause is named: about a third of the way from the first sign to
proof."""

CAUSES: dict[str, Callable[[Case], Cause | None]] = {
    "optimisation": causes.optimisation,
    "BatchNorm statistics": causes.batch_norm,
    "destroyed representation": causes.destroyed,
    "domain distance": causes_of_data.domain_distance,
    "label shift": causes_of_data.label_shift,
    "initialisation scale only": causes_of_data.placebo,
    "head": causes.head,
    "frozen features": causes.features,
    "overfitting": causes.overfitting,
    "class confusions": causes_of_data.confusions,
    "noise": causes_of_data.noise,
}
"""The function that judges each cause, by name. Of equally strong causes the first is named, as it
may be what produces the others."""
EXPLAINS = {
    "label shift": ("optimisation", "frozen features", "head"),
    "BatchNorm statistics": ("frozen features", "head"),
    "destroyed representation": ("optimisation", "head", "overfitting"),
}
"""For each cause, the causes whose signs it produces: skewed labels look like labels not learned,
wrong statistics like poor features. The strength s of the first reduces that of the others by a
factor 1 − s/2."""


@dataclass(frozen=True)
class Autopsy:
    """The result of the autopsy of one cell."""

    gain: Estimate | None
    """The gain over its baseline with this seed, with an interval over test items; None without a
    baseline."""
    causes: tuple[Cause, ...]
    """All causes that could be judged, the strongest first."""
    unjudged: tuple[str, ...]
    """Causes that are impossible here, or about which the record says nothing."""
    has_diagnostics: bool
    """False for records of a version without diagnostics."""

    @property
    def named(self) -> tuple[Cause, ...]:
        """The causes that stand out, the most likely first; empty if none does."""
        return tuple(cause for cause in self.causes if cause.strength >= STANDS_OUT)


def autopsy(case: Case) -> Autopsy:
    """Return all causes of one cell, judged and ranked."""
    judged = {name: judge(case) for name, judge in CAUSES.items()}
    found = _discounted([cause for cause in judged.values() if cause is not None])
    ranked = sorted(found, key=lambda cause: -round(cause.strength, 3))
    unjudged = tuple(name for name, cause in judged.items() if cause is None)
    noted = case.cell.diagnostics is not None
    return Autopsy(case.gain, tuple(ranked), unjudged, noted)


def _discounted(found: Sequence[Cause]) -> list[Cause]:
    """Return the causes, each reduced by what another one explains."""
    left = {cause.name: 1.0 for cause in found}
    for cause in found:
        for name in EXPLAINS.get(cause.name, ()):
            if name in left:
                left[name] *= 1.0 - 0.5 * cause.strength
    return [replace(cause, strength=cause.strength * left[cause.name]) for cause in found]


def case_of(cell: Record, records: Iterable[Record], read: Read | None = None) -> Case:
    """Return the case of a cell: with its baseline and placebo among the ledger's records."""
    others = list(records)
    wanted = cell.baseline.id if cell.baseline else None
    baseline = next((other for other in others if other.id == wanted), None)
    placebo = next((o for o in block_of(cell, others) if is_placebo_of(o, cell)), None)
    return Case(cell, baseline, placebo, read)


def block_of(cell: Record, records: Iterable[Record]) -> list[Record]:
    """Return the other cells of a seed block: same target, labels, seed and training."""
    return [
        other
        for other in records
        if other.id != cell.id
        and (other.parts.target, other.labels, other.seed)
        == (cell.parts.target, cell.labels, cell.seed)
        and other.parts.training in (cell.parts.training, None)
    ]


def arm_of(cell: Record, records: Iterable[Record]) -> list[Record]:
    """Return the cells of an arm: those that differ from this one in the seed alone, and itself."""
    same = [other for other in records if (other.parts, other.labels) == (cell.parts, cell.labels)]
    return sorted(same, key=lambda other: other.seed)


def is_placebo_of(other: Record, cell: Record) -> bool:
    """Return whether a cell is the same arm with a placebo of the same source."""
    if other.parts.strategy != cell.parts.strategy:
        return False
    source = other.config.get("source") or {}
    return "of" in source and _plain(source["of"]) == _plain(cell.config.get("source"))


def _plain(config: Any) -> Any:
    """Return a config without descriptive keys."""
    if isinstance(config, dict):
        return {k: _plain(v) for k, v in config.items() if k not in ("about", "card", "part_of")}
    return [_plain(item) for item in config] if isinstance(config, (list, tuple)) else config


def is_same_source(other: Record, cell: Record) -> bool:
    """Return whether both cells transfer from one source, or one only shares its architecture."""
    if not (other.names.source and cell.names.source):
        return other.names.architecture in (cell.names.architecture, None)
    return bool(_plain(other.config.get("source")) == _plain(cell.config.get("source")))


def shared_by(name: str, found: Sequence[Autopsy]) -> int:
    """Return in how many autopsies this cause stands out."""
    return sum(any(cause.name == name for cause in one.named) for one in found)
