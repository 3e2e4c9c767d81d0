"""Two records of the same cell, compared line by line: results first, then circumstances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from transfergrid.evidence.comparing.differing import TOLERANCE, WEIGHTS, circumstances, distance
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.report.tables.columns import Column, Group, Page, Table
from transfergrid.report.tables.sheet import Sheet


@dataclass(frozen=True)
class Compared:
    """One line of the comparison."""

    what: str
    recorded: str
    again: str
    verdict: str
    decides: bool = True
    """Whether a difference here means that the cell did not reproduce; not so for versions and
    machines."""

    @property
    def is_different(self) -> bool:
        """Return whether this line shows that the cell did not reproduce."""
        return self.decides and self.verdict == "differs"


def compare(record: Record, again: Record, old: Ledger, new: Ledger) -> list[Compared]:
    """Return the comparison of results, then of where and with what the cell was run."""
    lines = [_scores(record, again, part) for part in ("test", "validation", "train")]
    lines.append(_values("chosen step", record.chosen, again.chosen))
    lines.append(_predictions(record, old, new))
    lines.append(_values("examples seen", _counts(record), _counts(again)))
    ours, theirs = (circumstances(r)[WEIGHTS] for r in (record, again))
    lines.append(_values(WEIGHTS, ours, theirs))
    return [*lines, *_circumstances(record, again)]


def _scores(record: Record, again: Record, part: str) -> Compared:
    ours, theirs = getattr(record.scores, part) or {}, getattr(again.scores, part) or {}
    name = record.metric.name
    pairs = [(ours.get(key), theirs.get(key)) for key in {*ours, *theirs}]
    verdict = _verdict([distance(*pair) for pair in pairs])
    return Compared(f"{part} {name}", _number(ours.get(name)), _number(theirs.get(name)), verdict)


def _verdict(distances: Sequence[float]) -> str:
    largest = max(distances, default=0.0)
    if largest == 0:
        return "equal"
    return f"within {TOLERANCE:g}" if largest <= TOLERANCE else "differs"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6f}"


def _values(what: str, ours: Any, theirs: Any) -> Compared:
    return Compared(what, _brief(ours), _brief(theirs), "equal" if ours == theirs else "differs")


def _brief(value: Any) -> str:
    if hasattr(value, "step"):
        return f"{value.step}, {value.by.replace('_', ' ')}"
    return "–" if value in (None, "") else str(value)


def _predictions(record: Record, old: Ledger, new: Ledger) -> Compared:
    what = "test predictions"
    try:
        ours = old.predictions(record.id)
    except BadInputError:
        return Compared(what, "not kept", "–", "unknown", False)
    theirs = new.predictions(record.id)
    shape = " x ".join(map(str, ours.probabilities.shape))
    if ours.probabilities.shape != theirs.probabilities.shape:
        return Compared(what, shape, " x ".join(map(str, theirs.probabilities.shape)), "differs")
    if not np.array_equal(ours.labels, theirs.labels):
        return Compared(what, shape, "other true labels", "differs")
    largest = float(np.abs(ours.probabilities - theirs.probabilities).max(initial=0.0))
    return Compared(what, shape, f"largest change {largest:.1e}", _verdict([largest]))


def _counts(record: Record) -> str:
    data = record.data
    counts = (data.train, record.n_validation, data.unlabelled, data.test)
    return "/".join(map(str, counts))


def _circumstances(record: Record, again: Record) -> list[Compared]:
    """Return a line for each differing version, commit, code or machine, and one for equal ones."""
    ours, theirs = ({"data and configs": r.parts, **circumstances(r)} for r in (record, again))
    names = [name for name in {**ours, **theirs} if name != WEIGHTS]
    other = [
        Compared(name, _brief(ours.get(name)), _brief(theirs.get(name)), "another", False)
        for name in names
        if ours.get(name) != theirs.get(name)
    ]
    told = {line.what for line in other}
    equal = ", ".join(name for name in names if name not in told)
    return [*other, Compared(equal, "", "", "equal", False)] if equal else other


def sheet(lines: Sequence[Compared], title: str = "", footer: Sequence[str] = ()) -> Sheet:
    """Return the comparison as a sheet; equal circumstances are summed up in a sentence.

    Args:
        lines: the result of `compare`.
        title: the name of the cell.
        footer: the closing lines.
    """
    rows = [line for line in lines if line.recorded]
    equal = [f"equal: {line.what}" for line in lines if not line.recorded]
    columns: list[Column[Compared]] = [
        Column("", lambda line: line.what),
        Column("recorded", lambda line: line.recorded, least=8),
        Column("again", lambda line: line.again, least=8),
        Column("", lambda line: line.verdict),
    ]
    table = Table(columns, [Group(rows)], title=title)
    return Sheet(
        lambda _: Page([table], below=[*equal, *footer]),
        lambda: [asdict(line) for line in lines],
        keys=[field.name for field in fields(Compared)],
    )


def conclusion(lines: Sequence[Compared]) -> str:
    """Return in one line whether the cell reproduced, and what differs."""
    different = [line.what for line in lines if line.is_different]
    if different:
        return f"different: {', '.join(different)}"
    near = any(line.decides and line.verdict.startswith("within") for line in lines)
    return f"the same within {TOLERANCE:g}" if near else "the same, exactly"
