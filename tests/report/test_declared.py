"""Below every table stands what decided it: a declaration by its hash, looks, what failed."""

from dataclasses import replace

import pytest

from ledger_factory import made
from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Status
from transfergrid.report.wording.declared import NOTHING, closing_lines, declared_lines
from transfergrid.report.wording.words import without_result
from verdict_cells import Cells


@pytest.fixture
def ledger(tmp_path):
    cells = Cells()
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 80, base, sd=1.0)
    return cells.write(Ledger(tmp_path / "results"))


def declare(ledger, asked="2026-01-01T00:00:00+00:00", **declared):
    declaration = Declaration(**{"seeds": tuple(range(5)), **declared})
    cells = {
        row[0]: {
            "baseline": {"name": row[1], "id": row[2]} if row[1] else None,
            "exploratory": [],
        }
        for row in ledger.columns(("id", "baseline", "baseline_id"))
    }
    told = {"asked": asked, "cells": cells, "declaration": declaration.plain()}
    ledger.write_document("grids", told)
    return declaration


def lines(ledger, rules=None):
    bench = bench_of(ledger)
    rules = rules or bench.declaration.rules
    return declared_lines(bench, rules, bench.verdicts(rules=rules))


def test_nothing_declared_is_said(ledger):
    assert lines(ledger)[0] == NOTHING
    assert closing_lines(bench_of(ledger)) == [NOTHING]


def test_a_declaration_stands_there_with_its_hash_and_its_rules(ledger):
    declaration = declare(ledger, margin=2.0, alpha=0.1, correction="bh", max_seeds=5)
    line = lines(ledger)[0]
    assert line == (
        f"Declared {declaration.digest[:8]}: family of {declaration.family}; margin 2, error 10 %, "
        "bh; 5 seeds of at most 5."
    )
    assert declaration.digest[:8] in closing_lines(bench_of(ledger))[0]


def test_another_declaration_has_another_hash_and_the_newest_stands_there(ledger):
    first = declare(ledger)
    second = declare(ledger, "2026-01-02T00:00:00+00:00", margin=2.0)
    assert first.digest != second.digest
    assert second.digest[:8] in lines(ledger)[0]
    assert first.digest[:8] not in " ".join(lines(ledger))


@pytest.mark.parametrize("name", ["margin", "alpha", "correction", "power"])
def test_rules_that_were_typed_anew_are_named_and_no_other(ledger, name):
    declare(ledger)
    value = {"margin": 3.0, "alpha": 0.01, "correction": "none", "power": 0.9}[name]
    told = lines(ledger, replace(Rules(), **{name: value}))[0]
    assert told.endswith(f"Not judged as declared: {name} typed anew.")
    assert "Not judged" not in lines(ledger)[0]


def test_what_looks_leave_of_the_error_is_told(ledger):
    declare(ledger)
    assert (
        "Judged at 4 % of error a family, of 5 % in all (the first look): what is left is kept "
        "for further seeds, so that adding seeds and looking again stays honest."
    ) in lines(ledger)
    bench = bench_of(ledger)
    bench.note_look(bench.verdicts(), "verdicts")
    assert "(1 look before)" in " ".join(lines(ledger))


def test_with_the_last_seeds_declared_there_is_nothing_to_tell_of_looks(ledger):
    declare(ledger, max_seeds=5)
    assert not any("Judged at" in line for line in lines(ledger))
    declare(ledger, "2026-01-02T00:00:00+00:00", max_seeds=10)
    (line,) = [line for line in lines(ledger) if "Judged at" in line]
    assert "the rest is for looks up to 10 seeds" in line


def test_what_failed_is_counted_with_its_reasons(ledger):
    for seed in (6, 7):
        failed = replace(
            made("b", "glyphs", seed=seed), status=Status.FAILED, reason="out of memory"
        )
        ledger.fail(failed, "a log")
    told = lines(ledger)
    assert "2 cells failed:" in told
    assert any("out of memory" in line for line in told)
    ledger.write(made("b", "glyphs", seed=7))
    assert "1 cell failed:" in lines(ledger)


def test_what_was_left_out_is_counted_with_its_reasons():
    assert without_result("left out", []) == []
    told = without_result("left out", [("a cell", "needs labels"), ("another", "needs labels")])
    assert told[0] == "2 cells left out:"
    assert told[1].strip() == "2 × needs labels (first: a cell)"
