"""The table of a ledger compares cells as the last grid declared it."""

from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made, predicted
from transfergrid.ledger import Ledger
from transfergrid.report.closing import rows_of


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
    (row,) = [row for row in rows_of(ledger)[0] if row.gain is not None]
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
