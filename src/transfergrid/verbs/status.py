"""The verb `status`: show the progress of a grid, while it runs and after, from any machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime

from transfergrid.evidence.declared.under_way import look
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.records.record import Record
from transfergrid.report.running.status_view import SHOWN, log_lines, sheet
from transfergrid.report.tables.sheet import show
from transfergrid.verbs.parser import Parser

LINES = 20
NEWEST = ""
"""The value of `--log` without a cell."""


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid status [RESULTS] [--all] [--log [CELL]] [--format FORMAT]`.

    Raises:
        BadInputError: there are no results, or there is no such log.
    """
    chosen = _parser().parse_args(arguments)
    ledger = Ledger(chosen.results)
    if chosen.log is not None:
        return _log(ledger, chosen)
    at = datetime.now(UTC)
    show(sheet(look(ledger, chosen.all, at), chosen.results, at), chosen.format)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="transfergrid status",
        description="Show how far a grid is: who does what, how many cells are done, running, "
        "waiting, failed and of what, how long it takes. It only reads the folder.",
    )
    add = parser.add_argument
    add("results", nargs="?", default="results", help="the ledger's folder")
    add("--all", action="store_true", help="count all grids of the folder, not the last alone")
    add(
        "--log",
        nargs="?",
        const=NEWEST,
        metavar="CELL",
        help="the end of a failed cell's log instead; without CELL of what failed last",
    )
    add("--lines", type=int, default=LINES, metavar="N", help=f"of the log, by default {LINES}")
    parser.add_format()
    return parser


def _log(ledger: Ledger, chosen: argparse.Namespace) -> int:
    if chosen.lines < 1:
        raise BadInputError(f"--lines {chosen.lines}: give a number of lines from 1")
    identity = _failed_cell(ledger, chosen.log)
    number = ledger.attempts(identity)[-1]
    folder = ledger.attempts_folder(identity) / str(number)
    try:
        text = contents.read_bytes(folder / "log.txt").decode("utf-8", errors="replace")
    except OSError:
        raise BadInputError(f"no log was kept in {folder}") from None
    say(f"{folder / 'log.txt'}, its last lines:")
    for line in log_lines(text, chosen.lines):
        say(line)
    return 0


def _failed_cell(ledger: Ledger, typed: str) -> str:
    """Return the failed cell whose id begins as typed, or the one that failed last.

    Raises:
        BadInputError: none failed, or the id is ambiguous.
    """
    if typed == NEWEST:
        failed = [*ledger.failures(), *ledger.failed_anew()]
        if not failed:
            raise BadInputError(f"no cell has failed in '{ledger.root}'")
        return max(failed, key=_finished).id
    wanted = typed.strip().lower()
    found = [name for name in ledger.tried() if name.startswith(wanted)]
    if len(found) > 1:
        some = ", ".join(name[:SHOWN] for name in found[:3])
        told = f"{len(found)} failed cells begin with {typed}: {some}"
        raise BadInputError(f"{told}; type more of it")
    if not found or not ledger.attempts(found[0]):
        raise BadInputError(f"no failed cell begins with {typed!r} in '{ledger.root}'")
    return found[0]


def _finished(record: Record) -> str:
    return record.finished or ""
