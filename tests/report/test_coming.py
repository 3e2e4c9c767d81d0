"""Verdicts of a place are shown once it is through, and cost no more than those at the end."""

from operator import attrgetter

import pytest

from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.report.running import coming as coming_verdicts
from transfergrid.report.running.closing import show_grid
from transfergrid.report.running.coming import Coming
from verdict_cells import Cells


@pytest.fixture
def cells(tmp_path):
    """An arm that helps at two label budgets, and its ledger."""
    made = Cells()
    for labels in (2, 20):
        base = made.arm("scratch", labels=labels)
        made.arm("a", "glyphs", 80, base, sd=1.0, labels=labels)
    return made.write(Ledger(tmp_path / "grid")), made.records


def coming(cells, done=()):
    ledger, records = cells
    return Coming(ledger, records, attrgetter("labels"), done)


def test_a_place_is_shown_with_its_last_cell_and_not_before(cells, capsys):
    shown, few = coming(cells), [record for record in cells[1] if record.labels == 2]
    for record in few[:-1]:
        shown.ended(record, 1000.0)
    assert not capsys.readouterr().out
    shown.ended(few[-1], 1000.0)
    said = capsys.readouterr().out
    assert "positive" in said
    assert "2 labels a class" in said
    assert "20 labels a class" not in said
    assert "All of this is in; 1 table more to come." in said


def test_the_end_of_the_grid_is_no_further_look(cells, capsys):
    ledger, records = cells
    alone = bench_of(ledger, {record.id for record in records}).verdicts()
    shown = coming(cells)
    for record in records:
        shown.ended(record, 1000.0)
    at_the_end = show_grid(ledger, {record.id for record in records}, [])
    capsys.readouterr()
    assert [v.p for v in at_the_end] == [v.p for v in alone]
    assert [v.verdict for v in at_the_end] == [v.verdict for v in alone]
    assert [look.by for look in looks(ledger)] == ["grid", "grid"]


@pytest.mark.parametrize("to_go", [None, 29.0])
def test_a_grid_that_ends_soon_is_waited_for(cells, capsys, to_go):
    shown = coming(cells)
    for record in cells[1]:
        shown.ended(record, to_go)
    assert not capsys.readouterr().out
    assert looks(cells[0]) == []


def test_cells_that_were_done_before_are_not_waited_for(cells, capsys):
    few = [record for record in cells[1] if record.labels == 2]
    shown = coming(cells, {record.id for record in few[1:]})
    shown.ended(few[0], 1000.0)
    assert "positive" in capsys.readouterr().out


def test_what_cannot_be_shown_stops_no_grid(cells, capsys, monkeypatch):
    def refuse(*_):
        raise BadInputError("a document is damaged")

    monkeypatch.setattr(coming_verdicts, "bench_of", refuse)
    shown = coming(cells)
    for record in cells[1]:
        shown.ended(record, 1000.0)
    told = capsys.readouterr()
    assert "verdicts are shown at the end of the grid: a document is damaged" in told.out + told.err
