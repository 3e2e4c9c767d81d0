"""The verb `table`: the table of gains again, from the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid import selecting
from transfergrid.evidence.declarations import grids_of
from transfergrid.evidence.judged import Bench, bench_of
from transfergrid.evidence.results import result_of
from transfergrid.ledger import Ledger
from transfergrid.report.closing import rows_of
from transfergrid.report.declared import WITH_FOOTER, declared_line
from transfergrid.report.table import FORMATS, render, show
from transfergrid.report.terminal import Terminal
from transfergrid.verbs import Parser


def command(arguments: Sequence[str]) -> int:
    """Obey `transfergrid table [RESULTS] [--format FORMAT] [--over BASELINE] [--by-group]`.

    With `--where CONDITIONS` it shows the arms that are meant, and their baselines.
    """
    parser = Parser(
        prog="transfergrid table", description="Show the table of gains of a folder of results."
    )
    parser.add_argument("results", nargs="?", default="results", help="the ledger's folder")
    parser.add_argument("--format", default="table", help=", ".join(FORMATS))
    parser.add_argument("--over", help="an exploratory baseline instead of the primary one")
    parser.add_argument("--by-group", action="store_true", help="within each group of test items")
    parser.add_argument("--where", help=selecting.HELP)
    chosen = parser.parse_args(arguments)
    ledger = Ledger(chosen.results)
    bench = bench_of(ledger)
    cells = _selected(bench, chosen.where)
    rows, failed = rows_of(ledger, cells, over=chosen.over, by_group=chosen.by_group)
    if chosen.format == "table":
        show(rows, failed=failed)
    else:
        Terminal.of().write(render(rows, failed=failed, format=chosen.format))
    if chosen.format in WITH_FOOTER:
        print(declared_line(grids_of(ledger)))
    bench.note_gains(cells, "table", chosen.over)
    return 0


def _selected(bench: Bench, where: str | None) -> set[str]:
    """Return the identities of the cells that are meant, and of their baselines."""
    cells = [*bench.results, *map(result_of, bench.failures)]
    return {cell.id for cell in selecting.selected(cells, selecting.Where.parse(where))}
