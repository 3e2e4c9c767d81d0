"""The closing table of a grid, which the verb `table` shows again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transfergrid.evidence.declared.judged import Bench, bench_of
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.report.tables.sheet import show
from transfergrid.report.views import table, verdict_table
from transfergrid.report.wording import words
from transfergrid.report.wording.declared import declared_lines, failed_anew, unchosen
from transfergrid.report.wording.words import Told

EARLY = (
    "Gains are shown once the grid is through: a look at them now would be charged for.\n"
    "The same command goes on; transfergrid verdicts shows them nevertheless, and that is a look."
)

UNCOMPARED = (
    "Scores alone: baselines=none asks for no verdict. The same command without it runs the\n"
    "baselines too, keeps these cells and says what helped and what hurt."
)


def rows_of(
    bench: Bench, over: str | None = None, by_group: bool = False
) -> tuple[list[Verdict], list[Told]]:
    """Return the rows for a ledger's cells, and the failed cells in words.

    Args:
        bench: the bench with the cells.
        over: name of an exploratory baseline that replaces the primary one.
        by_group: whether every group of the test items gets rows of its own.
    """
    if by_group:
        inside = bench.arms_by_group(over)
        rows = [replace(row, target=row.target + words.in_group(row.group)) for row in inside]
    else:
        rows = bench.arms(over)
    return rows, words.told(bench.failures)


def show_grid(
    ledger: Ledger,
    cells: set[str],
    skipped: Sequence[Told],
    whole: bool = True,
    compared: bool = True,
) -> list[Verdict]:
    """Print the results of one grid: its verdicts, or else a table of gains.

    Verdicts need two seeds and a finished grid. An earlier look would be charged for, so for an
    interrupted grid only the scores are shown, and likewise for one without baselines.

    Args:
        ledger: the ledger with the cells.
        cells: ids of the grid's cells.
        skipped: combinations that were left out, with the reasons.
        whole: whether the grid is finished.
        compared: whether its cells are compared with baselines.

    Returns:
        The verdicts, shown or not.
    """
    bench = bench_of(ledger, cells)
    verdicts = bench.verdicts()
    if whole and compared and any(verdict.n > 1 for verdict in verdicts):
        lines = [
            *declared_lines(bench, bench.rules, verdicts),
            *words.without_result("left out", skipped),
            *_over_several(verdicts, ledger),
        ]
        show(verdict_table.sheet(verdicts, lines, bench.declaration.correction))
        bench.note_look(verdicts, "grid")
    else:
        rows, failed = rows_of(bench)
        early = not whole and any(row.arm_n > 1 for row in rows)
        alone = early or not compared
        if alone:
            rows = [replace(row, gain=None, low=None, high=None) for row in rows]
        show(table.sheet(rows, failed, skipped, [*unchosen(bench), *failed_anew(bench)]))
        if alone:
            say(EARLY if compared else UNCOMPARED)
    if bench.failures or bench.failed_anew:
        say(f"logs of failed cells: {ledger.root / 'attempts'}/<id>/<n>/log.txt")
    return verdicts


def _over_several(verdicts: Sequence[Verdict], ledger: Ledger) -> list[str]:
    """Return a line with the command that judges over several targets, if there are several."""
    targets = {verdict.target for verdict in verdicts if verdict.n}
    if len(targets) < 2:
        return []
    view = f"transfergrid verdicts {ledger.root} --show targets"
    return [f"What holds over these {len(targets)} targets: {view}"]
