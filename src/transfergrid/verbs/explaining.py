"""The verb `explain`: why a cell did worse than its baseline, and what to try next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transfergrid.evidence.autopsy.case import Cause
from transfergrid.evidence.autopsy.ranking import (
    STANDS_OUT,
    Autopsy,
    arm_of,
    autopsy,
    block_of,
    case_of,
    is_same_source,
    shared_by,
)
from transfergrid.evidence.statistics.intervals import Estimate
from transfergrid.records.cell import PROTOCOL
from transfergrid.records.errors import check_known
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.metrics import is_of_numbers
from transfergrid.records.points import unit
from transfergrid.records.printing import say
from transfergrid.records.record import Record
from transfergrid.report.running.kept import WIDTH
from transfergrid.report.tables.layout import wrapped
from transfergrid.report.wording.findings_words import findings, settled
from transfergrid.report.wording.words import bracketed, gained, number, scored
from transfergrid.verbs.finding import find_cell
from transfergrid.verbs.parser import Parser

FORMATS = ("text", "json")


@dataclass(frozen=True)
class Explained:
    """A cell's autopsy, with context from its ledger."""

    results: Path
    """The ledger's folder."""
    cell: Record
    baseline: Record | None
    found: Autopsy
    others: tuple[Autopsy, ...]
    """The autopsies of the arm's other seeds."""
    block: tuple[Record, ...]
    """The other cells of its seed block, which may include a remedy."""

    @property
    def is_partly_noted(self) -> bool:
        """Return whether the cell has diagnostics, but not all of them."""
        noted = self.cell.diagnostics
        return noted is not None and noted.extent != "full"

    def seeds(self, cause: Cause) -> str:
        """Return the words for how many seeds show a cause; empty for one seed."""
        every = (self.found, *self.others)
        return f"in {shared_by(cause.name, every)} of {len(every)} seeds" if self.others else ""

    def tried(self, cause: Cause) -> Record | None:
        """Return the cell of this block that applied the remedy; None if the remedy is this arm."""
        name = cause.remedy.strategy
        if name == self.cell.names.strategy:
            return None
        ours = [cell for cell in self.block if cell.names.strategy == name]
        same = [cell for cell in ours if is_same_source(cell, self.cell)]
        return same[0] if same else None


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid explain CELL [--full] [--results DIR] [--format text|json]`."""
    parser = Parser(
        prog="transfergrid explain",
        description="Say why a cell did worse than its baseline, from what it noted in its record, "
        "and what to try next.",
    )
    parser.add_cell()
    parser.add_argument(
        "--full", action="store_true", help="run it again first, and look at all there is"
    )
    parser.add_argument("--format", default="text", help=", ".join(FORMATS))
    chosen = parser.parse_args(arguments)
    check_known("format", chosen.format, FORMATS)
    ledger = Ledger(chosen.results)
    told = explain(ledger, find_cell(ledger, chosen.cell), chosen.full)
    text = json.dumps(plain(told), indent=1) if chosen.format == "json" else shown(told)
    say(text)
    return 0


def explain(ledger: Ledger, identity: str, full: bool = False) -> Explained:
    """Return the autopsy of a done cell and of its arm's other seeds.

    Args:
        ledger: the cell's ledger.
        identity: the cell's id.
        full: whether to run the cell again first, with all diagnostics; the ledger is not changed.

    Raises:
        BadInputError: there is no such cell, or it cannot be run again.
    """
    cell, records = ledger.read(identity), ledger.records()
    if full:
        from transfergrid.verbs.examining import examined

        cell = examined(ledger, cell)
    case = case_of(cell, records, ledger.predictions)
    others = [other for other in arm_of(cell, records) if other.id != cell.id]
    judged = tuple(autopsy(case_of(o, records, ledger.predictions)) for o in others)
    block = tuple(block_of(cell, records))
    return Explained(ledger.root, cell, case.baseline, autopsy(case), judged, block)


def shown(told: Explained) -> str:
    """Return the explanation as lines of at most 80 characters."""
    lines = [*_wrapped(f"{told.cell.id} {told.cell.label}"), *_wrapped(_gain(told))]
    if told.cell.protocol < PROTOCOL:
        lines.append(f"Of protocol {told.cell.protocol}: a grid of today runs it anew.")
    if not told.found.has_diagnostics:
        lines.append("No diagnostics: this cell is older than they are; judged by what there is.")
    lines += ["", *_named(told), ""]
    if found := [*findings(told.cell.told), *settled(told.cell)]:
        lines.append("What the method found:")
        lines += [line for each in found for line in _wrapped(each, "  ")]
        lines.append("")
    weak = [c for c in told.found.causes if c not in told.found.named]
    if weak:
        names = ", ".join(f"{cause.name} {cause.strength:.2f}" for cause in weak)
        lines += _wrapped(f"Considered, below {STANDS_OUT}: {names}")
    if told.found.unjudged:
        numbers = is_of_numbers(told.cell.metric.name)
        why = " (most are told of classes, and these labels are numbers)" if numbers else ""
        lines += _wrapped(f"Not judged{why}: {', '.join(told.found.unjudged)}")
    lines += _wrapped(_more(told)) if told.is_partly_noted else []
    return "\n".join(lines)


def _more(told: Explained) -> str:
    """Return the words for the missing diagnostics, and the command that gives them."""
    noted, where = told.cell.diagnostics, str(told.results)
    assert noted is not None
    told_of = (
        "It noted nothing of itself (trainer.diagnostics=none)"
        if noted.extent == "none"
        else "Noted in short: nothing of random weights, of BatchNorm by the target's own "
        "statistics, block by block"
    )
    command = f"transfergrid explain {told.cell.id[:8]} --full"
    command += "" if where == "results" else f" --results {shlex.quote(where)}"
    return f"{told_of}. To run it again and look: {command}"


def _gain(told: Explained) -> str:
    cell, gain = told.cell, told.found.gain
    if cell.score is None:
        return "It has no valid score."
    has = f"{cell.metric.name} {scored(cell)} on {cell.data.test} test examples"
    if told.baseline is None or gain is None:
        why = "its baseline is not done" if cell.baseline else "it is compared with nothing"
        return f"{has}; {why}."
    name = told.baseline.names.strategy
    over = f"{gained(gain.mean, cell.metric)} over {name} ({scored(told.baseline)})"
    return f"{has}: {over} in this seed{_interval(gain, unit(cell.metric))}."


def _interval(gain: Estimate, mark: str) -> str:
    low, high = gain.interval()
    if low is None or high is None:
        return ""
    shown = bracketed((low, high), lambda end: number(end, mark, signed=True))
    noise = ", which is within noise" if low <= 0 <= high else ""
    return f", 95 % interval over test items {shown}{noise}"


def _named(told: Explained) -> Iterator[str]:
    named, gain = told.found.named, told.found.gain
    gained = gain is not None and gain.mean >= 0
    if not named:
        yield "Nothing stands out."
        return
    title = "It did not hurt here. What stands out:" if gained else "Most likely:"
    for place, cause in enumerate(named):
        if place < 2:
            yield title if place == 0 else "Also:"
        seeds = told.seeds(cause)
        yield f"  {cause.name} (strength {cause.strength:.2f}{f', {seeds}' if seeds else ''})"
        yield from _wrapped(cause.evidence, "    ")
        yield from _wrapped(_next(told, cause), "    ")


def _next(told: Explained, cause: Cause) -> str:
    text = f"Try next: {cause.remedy.strategy} ({cause.remedy.why})"
    done = told.tried(cause)
    if done is not None and done.score is not None:
        text += f"; done in this block, cell {done.id[:8]}: {scored(done)}"
    return text


def _wrapped(text: str, indent: str = "") -> list[str]:
    return wrapped(indent + text, WIDTH, indent or "    ", whole_words=True)


def plain(told: Explained) -> dict[str, Any]:
    """Return the explanation as JSON values."""
    gain = told.found.gain
    return {
        "cell": told.cell.id,
        "protocol": told.cell.protocol,
        "names": asdict(told.cell.names),
        "labels": told.cell.labels,
        "seed": told.cell.seed,
        "score": told.cell.score,
        "baseline": told.baseline.id if told.baseline else None,
        "gain": None if gain is None else gain.mean,
        "low": None if gain is None else gain.low,
        "high": None if gain is None else gain.high,
        "has_diagnostics": told.found.has_diagnostics,
        "extent": told.cell.diagnostics.extent if told.cell.diagnostics else None,
        "stands_out_from": STANDS_OUT,
        "told": told.cell.told,
        "paths": [asdict(path) for path in (told.cell.chosen.paths if told.cell.chosen else ())],
        "causes": [_plain_cause(told, cause) for cause in told.found.causes],
        "not_judged": list(told.found.unjudged),
    }


def _plain_cause(told: Explained, cause: Cause) -> dict[str, Any]:
    every = (told.found, *told.others)
    done = told.tried(cause)
    return {
        **asdict(cause),
        "strength": round(cause.strength, 3),
        "seeds": shared_by(cause.name, every),
        "of_seeds": len(every),
        "tried": done.id if done else None,
    }
