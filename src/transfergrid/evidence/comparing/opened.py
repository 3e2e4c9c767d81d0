"""The sides of a comparison: a ledger, a ledger at one of its looks, or saved verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.evidence.declared.judged import Bench, bench_of
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.border import Reader, time_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record


@dataclass(frozen=True)
class Side:
    """One side of the comparison."""

    name: str
    verdicts: list[Verdict]
    results: dict[str, Result] | None = None
    """Results by id; None if only verdicts are known."""
    read: Callable[[str], Record] | None = None
    bench: Bench | None = None
    """The ledger in its current state; None for an earlier look or saved verdicts."""

    def note(self) -> None:
        """Record that these verdicts were looked at."""
        if self.bench:
            self.bench.note_look(self.verdicts, "compare")


def opened(path: str) -> Side:
    """Return a side from a ledger's folder, one of its looks (`results@1`), or verdicts in JSON.

    Raises:
        BadInputError: the path is none of these.
    """
    if Path(path).is_file():
        return Side(path, saved_verdicts(Path(path)))
    numbered = None if Path(path).exists() else re.fullmatch(r"(.+)@(\d+)", path)
    if numbered:
        name, number = numbered[1], int(numbered[2])
        return _side(path, _as_of(bench_of(Ledger(name)), number, name))
    bench = bench_of(Ledger(path))
    return replace(_side(path, bench), bench=bench)


def _side(path: str, bench: Bench) -> Side:
    results = {result.id: result for result in bench.results}
    return Side(path, bench.verdicts(), results, bench.ledger.read)


def _as_of(bench: Bench, number: int, name: str) -> Bench:
    """Return a ledger as it was at one of its looks, numbered from 1."""
    if not 1 <= number <= len(bench.earlier):
        raise BadInputError(f"'{name}' has {len(bench.earlier)} looks, and no {number}")
    look = bench.earlier[number - 1]
    try:
        at = time_of(look.at)
    except ValueError:
        raise BadInputError(f"'{name}': look {number} says no time at which it was") from None
    return replace(
        bench,
        declaration=Declaration.read(look.declaration),
        declarations={},
        results=[cell for cell in bench.results if _is_before(cell, at)],
        failures=[cell for cell in bench.failures if _is_before(cell, at)],
        earlier=bench.earlier[: number - 1],
    )


def _is_before(cell: Result | Record, at: datetime) -> bool:
    return cell.finished is None or time_of(cell.finished) <= at


def saved_verdicts(file: Path) -> list[Verdict]:
    """Return verdicts written with `--format json`; unknown keys are ignored.

    Raises:
        BadInputError: the file holds something else.
    """
    try:
        return _verdicts(file.read_bytes())
    except OSError as error:
        raise BadInputError(f"cannot read {file}: {error.strerror or error}") from None
    except BadInputError as error:
        raise BadInputError(f"{file} holds no verdicts in JSON: {error}") from None


_verdicts: Reader[list[Verdict]] = Reader(list[Verdict])
