"""The verb `compare`: what changed between two looks at a grid, and why."""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.evidence.comparing.changes import compare
from transfergrid.evidence.comparing.opened import opened
from transfergrid.evidence.measured import selecting
from transfergrid.report.tables.sheet import show
from transfergrid.report.views import comparing_looks
from transfergrid.verbs.parser import Parser


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid compare BEFORE AFTER [--format FORMAT] [--where CONDITIONS]`."""
    parser = Parser(
        prog="transfergrid compare",
        description="Show which scores and verdicts changed between two looks, and why.",
        epilog="A look is a ledger's folder, the same at its N-th recorded look (results@N), or "
        "verdicts that were saved by `transfergrid verdicts --format json`.",
    )
    parser.add_argument("before", help="the first look")
    parser.add_argument("after", help="the second look")
    parser.add_format()
    parser.add_argument("--where", help=selecting.HELP)
    chosen = parser.parse_args(arguments)
    where = selecting.Where.parse(chosen.where)
    before, after = opened(chosen.before), opened(chosen.after)
    found = compare(before, after, where)
    show(comparing_looks.sheet(found, before, after), chosen.format)
    for side in (before, after):
        side.note()
    return 0
