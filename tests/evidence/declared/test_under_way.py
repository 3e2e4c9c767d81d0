"""How far a grid is, as its folder tells."""

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger_factory import made
from transfergrid.evidence.declared.under_way import INPUT, cause_of, look
from transfergrid.records.code import code_fingerprint
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process.ends import KILLED, TIMEOUT
from transfergrid.records.record import Status

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCRATCH = "transfergrid.strategies.baselines.scratch.Scratch"


def at(minutes):
    """Return a time so many minutes before now."""
    return (NOW - timedelta(minutes=minutes)).isoformat()


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "results")


def ask(ledger, cells, asked=120, name="g", **told):
    compared = {"baseline": None, "exploratory": []}
    content = {"id": name, "asked": at(asked), "cells": {cell.id: compared for cell in cells}}
    ledger.write_document("grids", content | told)


def done(ledger, cell, minutes, **changes):
    ledger.write(replace(cell, finished=at(minutes), **changes))


def fail(ledger, cell, minutes, reason):
    record = replace(cell, status=Status.FAILED, reason=reason, finished=at(minutes))
    return ledger.fail(record, "log")


def hold(ledger, cell, silence=0.0, place="far boot", **told):
    (ledger.root / "claims").mkdir(parents=True, exist_ok=True)
    claim = ledger.root / "claims" / f"{cell.id}.0"
    claim.write_text(json.dumps({"place": place, "process": 7, "began": "1", "told": told}))
    os.utime(claim, (time.time() - silence,) * 2)


CELLS = [made(seed=seed) for seed in range(10)]


def test_every_cell_is_counted_once(ledger):
    ask(ledger, CELLS, left_out=[{"cell": "a x b", "reason": "no weights"}], study="s")
    for cell in CELLS[:4]:
        done(ledger, cell, 30)
    fail(ledger, CELLS[4], 20, "ValueError: no")
    for number, cell in enumerate(CELLS[5:7]):
        hold(ledger, cell, grid="g", worker=number)
    found = look(ledger, at=NOW)
    assert (found.cells, found.done, found.failed, found.waiting) == (10, 4, 1, 3)
    assert [sign.cell for sign in found.running] == [cell.id for cell in CELLS[5:7]]
    assert (found.left_out, found.study, found.left) == (1, "s", 5)


def test_the_rate_is_that_of_the_last_hour_and_tells_the_rest(ledger):
    ask(ledger, CELLS, asked=300)
    for cell, minutes in zip(CELLS, (200, 100, 50, 40, 30, 10), strict=False):
        done(ledger, cell, minutes)
    hold(ledger, CELLS[6], grid="g")
    found = look(ledger, at=NOW)
    assert found.rate == pytest.approx(4)
    assert found.to_go == pytest.approx(3600)  # four left, four an hour


def test_a_grid_that_was_begun_lately_has_its_rate_since_then(ledger):
    ask(ledger, CELLS, asked=30)
    done(ledger, CELLS[0], 200)  # of an earlier start
    for cell in CELLS[1:4]:
        done(ledger, cell, 10)
    hold(ledger, CELLS[4], grid="g")
    assert look(ledger, at=NOW).rate == pytest.approx(6)


def test_who_runs_it_alone_says_how_long_it_takes(ledger):
    ask(ledger, CELLS)
    hold(ledger, CELLS[0], grid="g", to_go=100.0)
    assert look(ledger, at=NOW).to_go == pytest.approx(100, abs=5)


def test_a_grid_whose_process_is_gone_is_seen_to_be_so(ledger):
    ask(ledger, CELLS)
    done(ledger, CELLS[0], 30)
    hold(ledger, CELLS[1], silence=500, grid="g")
    found = look(ledger, at=NOW)
    assert found.running == []
    assert [sign.cell for sign in found.gone] == [CELLS[1].id]
    assert (found.waiting, found.to_go) == (9, None)


def test_a_claim_that_was_left_on_a_done_cell_is_no_loss(ledger):
    ask(ledger, CELLS)
    done(ledger, CELLS[0], 30)
    hold(ledger, CELLS[0], silence=500, grid="g")
    assert look(ledger, at=NOW).gone == []


def test_failures_before_this_start_wait_while_it_runs_and_count_once_it_ended(ledger):
    ask(ledger, CELLS, asked=60)
    fail(ledger, CELLS[0], 90, "ValueError: before")
    fail(ledger, CELLS[1], 30, "ValueError: now")
    hold(ledger, CELLS[2], grid="g")
    found = look(ledger, at=NOW)
    assert (found.failed, found.waiting) == (1, 8)
    (ledger.root / "claims" / f"{CELLS[2].id}.0").unlink()
    assert look(ledger, at=NOW).failed == 2


def test_failures_are_grouped_by_their_cause_the_commonest_first(ledger):
    ask(ledger, CELLS)
    for cell, minutes in ((CELLS[0], 9), (CELLS[1], 5), (CELLS[2], 7)):
        fail(ledger, cell, minutes, f"OutOfMemoryError: of {minutes}")
    fail(ledger, CELLS[3], 5, "it took longer than trainer.cell_timeout=2 minutes")
    first, second = look(ledger, at=NOW).causes
    assert (first.what, first.reason) == ("OutOfMemoryError", "OutOfMemoryError: of 5")
    assert first.cells == (CELLS[1].id, CELLS[2].id, CELLS[0].id)
    assert (second.what, second.cells) == (TIMEOUT, (CELLS[3].id,))


REASONS = {
    "RuntimeError: CUDA error: out": "RuntimeError",
    "torch.OutOfMemoryError: x": "torch.OutOfMemoryError",
    "SystemExit: 1": "SystemExit",
    "it took longer than trainer.cell_timeout=0.5 minutes": TIMEOUT,
    "its worker process ended with SIGKILL (out of memory?), twice": (
        f"{KILLED} (SIGKILL (out of memory?))"
    ),
    "its worker process ended with exit code 1, twice": f"{KILLED} (exit code 1)",
    "no column 'label'": INPUT,
    None: INPUT,
}


@pytest.mark.parametrize(("reason", "cause"), REASONS.items())
def test_a_cause_is_the_kind_of_error_a_timeout_or_a_kill(reason, cause):
    assert cause_of(reason) == cause


def test_what_has_other_code_now_is_stale(ledger):
    ask(ledger, CELLS)
    config = {"strategy": {"_target_": SCRATCH}}
    done(ledger, CELLS[0], 30, config=config, code="0" * 16)
    done(ledger, CELLS[1], 30, config=config, code=code_fingerprint(SCRATCH))
    assert code_fingerprint(SCRATCH)
    found = look(ledger, at=NOW)
    assert (found.done, found.stale) == (2, 1)


def test_it_is_the_grid_that_runs_or_else_the_last_and_all_if_asked_for(ledger):
    ask(ledger, CELLS[:3], asked=200, name="old")
    ask(ledger, CELLS[5:], asked=100, name="new")
    assert (look(ledger, at=NOW).cells, look(ledger, at=NOW).others) == (5, 1)
    hold(ledger, CELLS[0], grid="old")
    assert look(ledger, at=NOW).cells == 3
    assert look(ledger, everything=True, at=NOW).cells == 8


def test_cells_that_were_run_alone_are_counted_and_where_nothing_is_that_is_said(ledger, tmp_path):
    with pytest.raises(BadInputError, match="no results in"):
        look(Ledger(tmp_path / "nowhere"))
    done(ledger, CELLS[0], 10)
    fail(ledger, CELLS[1], 10, "ValueError: x")
    found = look(ledger, at=NOW)
    assert (found.grids, found.cells, found.done, found.failed, found.waiting) == (0, 2, 1, 1, 0)
