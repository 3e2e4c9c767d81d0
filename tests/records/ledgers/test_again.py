"""A cell that is run anew loses nothing: its old record counts until the new one is whole."""

import shutil
from dataclasses import replace

import pytest

import pretend_grid
from ledger_factory import made, predicted
from pretend_grid import cell
from transfergrid.records.ledgers import again
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Status


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "results")
    for seed in (0, 1):
        found.write(made(seed=seed, score=0.1), predicted([True, False]))
    return found


def scores(ledger):
    return {record.seed: record.score for record in ledger.records()}


OLD, OTHER = made(seed=0), made(seed=1)


def test_a_marked_cell_is_to_be_run_and_its_record_counts(ledger):
    again.mark(ledger.root, [OLD.id])
    assert ledger.done([OLD.id, OTHER.id]) == {OTHER.id}
    assert ledger.kept([OLD.id, OTHER.id]) == {OLD.id, OTHER.id}
    assert (ledger.is_done(OLD.id), ledger.is_kept(OLD.id)) == (False, True)
    assert scores(ledger) == {0: 0.1, 1: 0.1}


@pytest.mark.parametrize("indexed", [False, True])
def test_the_new_record_takes_its_place_and_the_old_one_is_kept(indexed, ledger):
    if indexed:
        ledger.compact()
    again.mark(ledger.root, [OLD.id])
    assert ledger.write(replace(OLD, reason="new"), predicted([True, True]))
    assert scores(ledger) == {0: 0.9, 1: 0.1}
    assert ledger.done([OLD.id]) == {OLD.id}
    before = Ledger(ledger.root / "before")
    shutil.copytree(ledger.root / "replaced" / OLD.id / "1", before.folder(OLD.id))
    assert before.read(OLD.id).score == 0.1
    assert before.predictions(OLD.id).correct().tolist() == [True, False]
    assert not (ledger.root / "again").exists(), "nothing is left"
    assert ledger.warnings == []


def test_what_was_replaced_twice_is_there_twice(ledger):
    for score in (0.2, 0.3):
        again.mark(ledger.root, [OLD.id])
        ledger.write(made(seed=0, score=score))
    assert scores(ledger)[0] == 0.3
    assert sorted(path.name for path in (ledger.root / "replaced" / OLD.id).iterdir()) == ["1", "2"]


def test_without_a_mark_the_first_record_stays(ledger):
    again.mark(ledger.root, [OTHER.id])
    assert not ledger.write(OLD)
    assert scores(ledger)[0] == 0.1


def test_what_it_goes_on_from_stays_until_it_is_done(ledger):
    running = ledger.root / "running"
    running.mkdir()
    for one in (OLD, OTHER):
        (running / f"{one.id}.safetensors").touch()
    again.mark(ledger.root, [OLD.id])
    ledger.compact()
    assert [path.stem for path in running.iterdir()] == [OLD.id]


def test_a_grid_runs_the_marked_cells_alone_and_a_failure_leaves_the_old_record(tmp_path):
    results, cells = tmp_path / "results", [cell(number) for number in range(3)]
    pretend_grid.run(results, cells)
    ledger = Ledger(results)
    before = ledger.read(cells[1].id)
    again.mark(results, [cells[1].id])
    outcome = pretend_grid.run(results, [cells[0], cell(1, "fail"), cells[2]])
    assert (outcome.done, outcome.failed) == (0, 1)
    assert ledger.read(cells[1].id) == before
    outcome = pretend_grid.run(results, cells)
    assert (outcome.done, outcome.failed) == (1, 0)
    assert (results / "replaced" / cells[1].id / "1" / "record.json").exists()
    assert len((tmp_path / "tries" / cells[0].id).read_text().split()) == 1
    assert pretend_grid.run(results, cells).done == 0, "it is through"


def test_a_failure_of_a_rerun_is_told_until_it_succeeds_and_one_of_before_is_none(ledger):
    ledger.fail(replace(OLD, status=Status.FAILED, reason="before"), "")
    again.mark(ledger.root, [OLD.id, OTHER.id])
    assert ledger.failed_anew() == [], "what failed before the mark did not fail anew"
    for reason in ("first", "second"):
        ledger.fail(replace(OLD, status=Status.FAILED, reason=reason), "")
        again.mark(ledger.root, [OLD.id])  # as the next start does
        assert [record.reason for record in ledger.failed_anew()] == [reason]
    assert ledger.failures() == [], "its record counts"
    ledger.write(OLD)
    assert ledger.failed_anew() == []


@pytest.mark.parametrize("said", ["", "x", "9" * 5000])
def test_a_mark_that_says_nothing_tells_no_failure(said, ledger):
    again.mark(ledger.root, [OLD.id])
    (ledger.root / "again" / OLD.id).write_text(said)
    ledger.fail(replace(OLD, status=Status.FAILED, reason="a bug"), "")
    assert ledger.failed_anew() == []
    assert ledger.done([OLD.id]) == set()
