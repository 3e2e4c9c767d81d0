"""The verb `curves`: show the benefit of transfer over labels, or over steps."""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.evidence.curves.assembly import curves_of
from transfergrid.evidence.curves.measures import Axis
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.measured import selecting
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.ledgers.ledger import Ledger, without_garbage_collection
from transfergrid.report.tables.sheet import show
from transfergrid.report.views import curves_table
from transfergrid.report.wording.declared import closing_lines
from transfergrid.verbs.parser import Parser


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid curves [RESULTS] [--against labels|steps] [--threshold P] ...`."""
    parser = Parser(
        prog="transfergrid curves",
        description="Show what transfer gives over target labels, or over training steps.",
    )
    parser.add_ledger()
    parser.add_argument("--against", default="labels", help="labels or steps")
    parser.add_argument("--threshold", type=float, metavar="P", help="a score to reach, as shown")
    exchange = "target labels that a source label is charged as"
    parser.add_argument("--exchange", type=float, default=1.0, help=exchange)
    parser.add_over()
    parser.add_format()
    chosen = parser.parse_args(arguments)
    check_known("axis", chosen.against, [axis.value for axis in Axis])
    if not 0 <= chosen.exchange < float("inf"):
        raise BadInputError(f"--exchange must be from 0: {chosen.exchange}")
    bench, against = bench_of(Ledger(chosen.results)), Axis(chosen.against)
    where = selecting.Where.parse(chosen.where)
    with without_garbage_collection():
        curves, none = curves_of(
            bench, against, chosen.threshold, chosen.exchange, chosen.over, where
        )
    show(curves_table.sheet(curves, none, closing_lines(bench)), chosen.format)
    if against is Axis.LABELS:  # curves over steps show validation scores: not a look at test gains
        bench.note_gains({c for curve in curves for c in curve.cells}, "curves", chosen.over)
    return 0
