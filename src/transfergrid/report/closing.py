"""The table that ends a grid, and the verb `table` that shows it again."""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.cli import Parser
from transfergrid.evidence.rows import table_rows
from transfergrid.ledger import Ledger
from transfergrid.provenance import code_fingerprint
from transfergrid.report import words
from transfergrid.report.table import FORMATS, render, show
from transfergrid.report.words import Told


def show_grid(ledger: Ledger, cells: set[str], skipped: Sequence[Told]) -> None:
    """Print the table of one grid's cells, its failures and what was left out of it."""
    records = [record for record in ledger.records() if record.id in cells]
    failures = [record for record in ledger.failures() if record.id in cells]
    rows = table_rows(records, failures, ledger.predictions, code_fingerprint)
    show(rows, failed=words.told(failures), skipped=skipped)


def command(arguments: Sequence[str]) -> int:
    """Obey `transfergrid table [RESULTS] [--format FORMAT]`."""
    parser = Parser(
        prog="transfergrid table", description="Show the table of gains of a folder of results."
    )
    parser.add_argument("results", nargs="?", default="results", help="the ledger's folder")
    parser.add_argument("--format", default="table", help=", ".join(FORMATS))
    chosen = parser.parse_args(arguments)
    ledger = Ledger(chosen.results)
    failures = ledger.failures()
    rows = table_rows(ledger.records(), failures, ledger.predictions, code_fingerprint)
    if chosen.format == "table":
        show(rows, failed=words.told(failures))
    else:
        print(render(rows, failed=words.told(failures), format=chosen.format), end="")
    return 0
