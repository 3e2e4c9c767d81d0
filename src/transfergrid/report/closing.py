"""The table that ends a grid, and the verb `table` that shows it again."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace

from transfergrid.evidence import comparisons, declarations
from transfergrid.evidence.judged import bench_of
from transfergrid.evidence.judged import declared as as_declared
from transfergrid.evidence.rows import Row, table_rows
from transfergrid.evidence.verdicts import Verdict
from transfergrid.records.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.records.provenance import code_fingerprint
from transfergrid.records.record import Record
from transfergrid.report import verdict_table, words
from transfergrid.report.declared import declared_lines, left_out
from transfergrid.report.table import show
from transfergrid.report.words import Told

EARLY = (
    "Gains are shown once the grid is through: a look at them now would be charged for.\n"
    "The same command goes on; transfergrid verdicts shows them nevertheless, and that is a look."
)

UNCOMPARED = (
    "Scores alone: baselines=none asks for no verdict. The same command without it runs the\n"
    "baselines too, keeps these cells and says what helped and what hurt."
)


def rows_of(
    ledger: Ledger,
    cells: Container[str] | None = None,
    over: str | None = None,
    by_group: bool = False,
) -> tuple[list[Row], list[Told]]:
    """Return the rows of a ledger's cells, or of some of them, and the failed ones in words.

    Args:
        ledger: holds the cells.
        cells: identities of those that are meant.
        over: name of an exploratory baseline that takes the primary one's place.
        by_group: give every group of the test items rows of its own.

    What a cell is compared with, and whether its source has seen its target, is no part of its
    identity: the grid that asked for it last says.
    """
    declared = declarations.comparisons(declarations.grids_of(ledger))

    def chosen(found: Iterable[Record]) -> list[Record]:
        return [
            as_declared(record, declared.get(record.id))
            for record in found
            if cells is None or record.id in cells
        ]

    failures, records = chosen(ledger.failures()), chosen(ledger.records())
    if over is not None:
        records = comparisons.over(records, over)
    if by_group:
        rows = list(_group_rows(records, ledger))
    else:
        rows = table_rows(records, failures, ledger.predictions, code_fingerprint)
    return rows, words.told(failures)


def _scores_alone(rows: Iterable[Row]) -> list[Row]:
    return [replace(row, gain=None, low=None, high=None) for row in rows]


def _group_rows(records: list[Record], ledger: Ledger) -> Iterator[Row]:
    for name, inside, read in comparisons.by_group(records, ledger.predictions):
        for row in table_rows(inside, (), read, code_fingerprint):
            yield replace(row, target=row.target + words.in_group(name), group=name)


def show_grid(
    ledger: Ledger,
    cells: set[str],
    skipped: Sequence[Told],
    whole: bool = True,
    compared: bool = True,
) -> list[Verdict]:
    """Print what came of one grid: its verdicts, or a table of gains where none can be given.

    Verdicts take two seeds and a grid that is through. What is looked at before is charged for, so
    of a grid that was interrupted the scores alone are shown, and of one without baselines too.

    Args:
        ledger: holds the cells.
        cells: identities of the grid's cells.
        skipped: combinations that were left out, and why.
        whole: whether the grid is through.
        compared: whether its cells are compared with anything.

    Returns:
        The verdicts, shown or not.
    """
    bench = bench_of(ledger, cells)
    verdicts = bench.verdicts(code=code_fingerprint)
    if whole and compared and any(verdict.n > 1 for verdict in verdicts):
        lines = [*declared_lines(bench, bench.rules, verdicts), *left_out(skipped)]
        verdict_table.show(verdicts, lines, correction=bench.declaration.correction)
        bench.note_look(verdicts, "grid")
    else:
        rows, failed = rows_of(ledger, cells)
        early = not whole and any(row.n > 1 for row in rows)
        alone = early or not compared
        show(_scores_alone(rows) if alone else rows, failed=failed, skipped=skipped)
        if alone:
            say(EARLY if compared else UNCOMPARED)
    if bench.failures:
        say(f"logs of failed cells: {ledger.root / 'attempts'}/<id>/<n>/log.txt")
    return verdicts
