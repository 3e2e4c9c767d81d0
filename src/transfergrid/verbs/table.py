"""The verb `table`: show the table of gains again, from the ledger."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from transfergrid.evidence.declared.judged import Bench, bench_of
from transfergrid.evidence.leaderboard import leaderboards
from transfergrid.evidence.measured import selecting
from transfergrid.evidence.measured.results import result_of
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger, without_garbage_collection
from transfergrid.report.running.closing import rows_of
from transfergrid.report.tables.sheet import show
from transfergrid.report.views import leaderboard, table
from transfergrid.report.wording import names
from transfergrid.report.wording.declared import closing_lines
from transfergrid.verbs.parser import Parser


@without_garbage_collection()
def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid table [RESULTS] [--format FORMAT] [--over BASELINE] [--by-group]`.

    `--leaderboard` shows strategies by targets, with verdict marks and mean ranks. `--where
    CONDITIONS` shows only the selected arms and their baselines.
    """
    parser = Parser(
        prog="transfergrid table", description="Show the table of gains of a folder of results."
    )
    parser.add_ledger()
    parser.add_over()
    parser.add_format()
    parser.add_argument("--by-group", action="store_true", help="within each group of test items")
    parser.add_argument(
        "--leaderboard", action="store_true", help="strategies by targets, with mean ranks"
    )
    chosen = parser.parse_args(arguments)
    if chosen.leaderboard:
        return _leaderboard(chosen)
    bench = bench_of(Ledger(chosen.results))
    cells = _selected(bench, chosen.where)
    rows, failed = rows_of(bench.of_cells(cells), over=chosen.over, by_group=chosen.by_group)
    show(table.sheet(rows, failed, footer=closing_lines(bench)), chosen.format)
    bench.note_gains(cells, "table", chosen.over)
    return 0


def _leaderboard(chosen: argparse.Namespace) -> int:
    if chosen.by_group:
        raise BadInputError("--leaderboard and --by-group are two tables: type one of them")
    where = selecting.Where.parse(chosen.where)
    bench = bench_of(Ledger(chosen.results)).of_runs(where)
    verdicts = bench.verdicts(chosen.over, where=where.of_arms())
    shown, common = names.told(verdicts)
    boards = leaderboards(shown, bench.results, bench.outcomes)
    show(leaderboard.sheet(boards, [*common, *closing_lines(bench)]), chosen.format)
    bench.note_look(verdicts, "table")
    return 0


def _selected(bench: Bench, where: str | None) -> set[str]:
    """Return the ids of the selected cells, and of their baselines."""
    cells = [*bench.results, *map(result_of, bench.failures)]
    return {cell.id for cell in selecting.selected(cells, selecting.Where.parse(where))}
