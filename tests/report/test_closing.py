"""The table of a ledger compares cells as the last grid declared it."""

from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Chosen, Path
from transfergrid.report.running.closing import EARLY, UNCOMPARED, rows_of, show_grid
from transfergrid.verbs import table
from verdict_cells import Cells


@pytest.fixture
def ledger(tmp_path):
    """An arm whose record names an old baseline, and a newer one beside it."""
    ledger = Ledger(tmp_path)
    old = made("scratch", score=0.5)
    new = replace(made("scratch", score=0.7), id="f" * 16)
    new = replace(new, parts=replace(new.parts, strategy="beef00"))
    arm = made("full_finetuning", "glyphs", score=0.8, baseline=old)
    for record in (old, new, arm):
        ledger.write(record, predicted(np.arange(10) < 10 * record.score))
    return ledger, old, new, arm


def gain(ledger):
    (row,) = [row for row in rows_of(bench_of(ledger))[0] if row.gain is not None]
    return row.gain


def declare(ledger, arm, baseline, asked):
    told = {"baseline": {"name": "scratch", "id": baseline.id}, "exploratory": []}
    ledger.write_document("grids", {"id": asked, "asked": asked, "cells": {arm.id: told}})


def test_without_a_grid_the_record_says(ledger):
    ledger, old, _, arm = ledger
    assert gain(ledger) == pytest.approx(30)
    assert arm.baseline.id == old.id


def test_the_last_grid_says(ledger):
    ledger, old, new, arm = ledger
    declare(ledger, arm, old, "2026-01-01")
    declare(ledger, arm, new, "2026-01-02")
    assert gain(ledger) == pytest.approx(10)


@pytest.fixture
def grid(tmp_path):
    cells = Cells()
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 80, base, sd=1.0)
    ledger = cells.write(Ledger(tmp_path / "grid"))
    return ledger, {cell.id for cell in cells.records}


def test_a_grid_that_is_through_ends_with_verdicts_and_that_is_a_look(grid, capsys):
    ledger, cells = grid
    show_grid(ledger, cells, [])
    assert "positive" in capsys.readouterr().out
    assert [look.by for look in looks(ledger)] == ["grid"]


def test_a_grid_of_several_targets_names_the_view_that_judges_over_them(tmp_path, capsys):
    cells = Cells()
    for target in ("digits", "letters"):
        base = cells.arm("scratch", target=target)
        cells.arm("a", "glyphs", 80, base, sd=1.0, target=target)
    ledger = cells.write(Ledger(tmp_path / "grid"))
    show_grid(ledger, {cell.id for cell in cells.records}, [])
    told = " ".join(capsys.readouterr().out.split())
    assert "over these 2 targets: transfergrid verdicts" in told
    assert "--show targets" in told


def test_of_an_interrupted_grid_the_scores_are_shown_and_nothing_is_charged(grid, capsys):
    ledger, cells = grid
    show_grid(ledger, cells, [], whole=False)
    shown = capsys.readouterr().out
    assert "80.0" in shown
    assert "positive" not in shown
    assert "+10." not in shown
    assert EARLY in shown
    assert looks(ledger) == []


def test_a_grid_without_baselines_ends_with_scores_and_nothing_is_charged(grid, capsys):
    ledger, cells = grid
    assert show_grid(ledger, cells, [], compared=False)  # known from another grid, and not shown
    shown = capsys.readouterr().out
    assert "80.0" in shown
    assert "+10." not in shown
    assert UNCOMPARED in shown
    assert looks(ledger) == []


def test_a_table_of_gains_is_a_look(grid, capsys):
    ledger, _ = grid
    assert table.command([str(ledger.root)]) == 0
    assert "↑" in capsys.readouterr().out
    (look,) = looks(ledger)
    assert look.by == "table"
    judged = bench_of(ledger)
    assert judged.verdicts()[0].level == pytest.approx(0.04)  # as at that look


def test_one_seed_too_is_told_what_was_taken_where_nothing_validates(tmp_path, capsys):
    path = Path(name="share", values=(0.0, 0.5, 1.0), validation=(), chosen=0.5)
    cell = replace(
        made("mixing", "glyphs", labels=5), chosen=Chosen(step=4, by="last_step", paths=(path,))
    )
    ledger = Ledger(tmp_path)
    ledger.write(cell)
    show_grid(ledger, {cell.id}, [], compared=False)
    assert "labels=5: nothing validates; mixing took share 0.5." in capsys.readouterr().out
