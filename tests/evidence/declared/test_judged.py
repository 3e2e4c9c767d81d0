"""A ledger is judged as its grids declared, whatever way its records are read."""

from dataclasses import asdict, replace

import pyarrow.parquet
import pytest

from ledger_factory import made
from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.evidence.measured.results import result_of, results_from, results_of
from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.cell import Reference
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Flags, Status
from transfergrid.report.wording.declared import declared_lines
from verdict_cells import Cells

LATER = [
    "classes",
    "right",
    "clusters",
    "one_checkpoint",
    "placebo",
    "fewest_labels",
    "most_labels",
]
"""Columns that the first version of the index did not have."""


@pytest.fixture
def study(tmp_path):
    """Two arms over scratch, one of them over an exploratory baseline as well."""
    cells = Cells()
    base = cells.arm("scratch")
    longer = cells.arm("scratch_converged", mean=79)
    cells.arm("a", "glyphs", 78, base, sd=1.0, exploratory=[longer])
    cells.arm("b", "glyphs", 66, base, sd=1.2)
    return cells, Ledger(tmp_path / "results")


def declare(ledger, cells, asked="2026-01-01T00:00:00+00:00", **declared):
    told = {
        cell.id: {
            "baseline": asdict(cell.baseline) if cell.baseline else None,
            "exploratory": [asdict(other) for other in cell.exploratory],
            "contaminated_by": cell.flags.contaminated_by,
        }
        for cell in cells.records
    }
    declared.setdefault("seeds", tuple(range(5)))
    declaration = Declaration(**declared).plain()
    ledger.write_document("grids", {"asked": asked, "declaration": declaration, "cells": told})


def lines(bench, rules=None):
    rules = rules or bench.declaration.rules
    return " ".join(declared_lines(bench, rules, bench.verdicts(rules=rules)))


# Records, index, older index ---------------------------------------------------------------------


def test_an_index_gives_the_verdicts_that_the_records_give(study):
    cells, ledger = study
    cells.change(cells.records[:1], flags=Flags(underfit=True, contaminated_by=("imagenet",)))
    direct = judge(results_from(cells.records), read=cells.read)
    cells.write(ledger)
    unindexed, _ = results_of(ledger)
    ledger.compact()
    indexed, outcomes = results_of(ledger)
    assert indexed == unindexed == sorted(results_from(cells.records), key=lambda r: r.id)
    assert judge(indexed, read=outcomes) == judge(unindexed, read=ledger.predictions) == direct


def test_an_indexed_ledger_opens_neither_records_nor_predictions(study):
    cells, ledger = study
    cells.write(ledger).compact()
    before = bench_of(ledger).verdicts()
    for cell in cells.records:
        for name in ("record.json", "predictions.npz"):
            path = ledger.folder(cell.id) / name
            path.write_bytes(b"unreadable")
    assert bench_of(ledger).verdicts() == before


def test_an_index_of_an_older_version_is_read_cell_by_cell_and_renewed(study):
    cells, ledger = study
    path = cells.write(ledger).compact()
    before = bench_of(ledger).verdicts()
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.drop_columns(LATER), path)
    assert bench_of(ledger).verdicts() == before
    assert [record.id for record in ledger.records()] == sorted(c.id for c in cells.records)
    assert ledger.compact() is not None
    assert bench_of(ledger).verdicts() == before
    assert ledger.compact() is None
    assert ledger.warnings == []


def test_cells_of_which_no_predictions_were_kept_speak_of_this_test_set(study):
    cells, ledger = study
    cells.said = {}
    cells.write(ledger)
    bench = bench_of(ledger)
    expected = judge(results_from(cells.records), levels=bench.levels())
    assert {v.scope for v in expected} == {"this test set"}
    assert bench.verdicts() == expected
    ledger.compact()
    assert bench_of(ledger).verdicts() == expected


def test_failures_are_no_results(study):
    cells, ledger = study
    failed = made("c", "glyphs", score=None, baseline=cells.records[0])
    ledger.fail(replace(failed, status=Status.FAILED), "a log")
    cells.write(ledger)
    found = {v.strategy: v for v in bench_of(ledger).verdicts()}
    assert (found["c"].n, found["c"].failed) == (0, 1)


# As declared -------------------------------------------------------------------------------------


def test_comparisons_are_those_that_the_last_grid_declared(study):
    cells, ledger = study
    cells.write(ledger)
    declare(ledger, cells)
    records, others = cells.records, [c for c in cells.records if c.names.strategy == "b"]
    cells.records = [c for c in records if c.names.strategy != "b"]
    cells.records += [_over(c, records[5 + c.seed]) for c in others]  # over scratch_converged
    declare(ledger, cells, "2026-01-02T00:00:00+00:00")
    found = {v.strategy: v for v in bench_of(ledger).verdicts()}
    assert (found["a"].baseline, found["b"].baseline) == ("scratch", "scratch_converged")
    assert found["b"].gain == pytest.approx(66 - 79, abs=0.3)


def _over(cell, other):
    return replace(cell, baseline=Reference(name=other.names.strategy, id=other.id))


def test_the_declared_rules_decide_and_typed_ones_are_told(study):
    cells, ledger = study
    cells.write(ledger)
    assert "Declared beforehand: nothing" in lines(bench_of(ledger))
    declare(ledger, cells, margin=20.0)
    bench = bench_of(ledger)
    assert {v.verdict for v in bench.verdicts()} == {Kind.EQUIVALENT}
    assert bench.declaration.digest[:8] in lines(bench)
    assert "Not judged as declared: margin" in lines(bench, Rules(margin=1.0))
    assert "Not judged" not in lines(bench)


def test_an_exploratory_baseline_gives_families_of_its_own(study):
    cells, ledger = study
    cells.write(ledger)
    (verdict,) = bench_of(ledger).verdicts("scratch_converged")
    assert (verdict.strategy, verdict.baseline, verdict.primary) == (
        "a",
        "scratch_converged",
        False,
    )
    assert verdict.gain == pytest.approx(-1, abs=0.3)
    assert verdict.family_size == 1


# Looks -------------------------------------------------------------------------------------------


def more_seeds(cells, ledger, n):
    """Go on with the same arms up to `n` seeds."""
    cells.records, cells.said = [], {}
    base = cells.arm("scratch", n=n)
    cells.arm("a", "glyphs", 78, base, sd=1.0, n=n)
    cells.arm("b", "glyphs", 66, base, sd=1.2, n=n)
    cells.write(ledger)


def look(ledger):
    bench = bench_of(ledger)
    verdicts = bench.verdicts()
    bench.note_look(verdicts, "verdicts")
    return bench, verdicts


def test_looking_twice_gives_the_same_and_is_written_once(study):
    cells, ledger = study
    cells.write(ledger)
    declare(ledger, cells)
    assert look(ledger)[1] == look(ledger)[1]
    assert len(looks(ledger)) == 1


def test_seeds_added_after_a_look_are_charged_for_and_it_is_told(study):
    cells, ledger = study
    cells.write(ledger)
    declare(ledger, cells)
    _, first = look(ledger)
    assert [v.level for v in first] == pytest.approx([0.04] * 2)  # a fifth is kept in reserve
    more_seeds(cells, ledger, 10)
    declare(ledger, cells, "2099-01-01T00:00:00+00:00", seeds=tuple(range(10)))
    bench, second = look(ledger)
    levels = {v.level for v in second}
    assert len(levels) == 1
    assert levels.pop() < 0.02
    assert "1 look before" in lines(bench)
    shown = [
        {len(seeds) for arms in one.seeds.values() for seeds in arms.values()}
        for one in looks(ledger)
    ]
    assert shown == [{5}, {10}]


def test_the_last_seeds_that_were_declared_cost_nothing_unless_one_looked_before(study):
    cells, ledger = study
    cells.write(ledger)
    declare(ledger, cells, max_seeds=5)
    bench, verdicts = look(ledger)
    assert [v.level for v in verdicts] == pytest.approx([0.05] * 2)
    assert "Judged at" not in lines(bench)


def test_what_was_declared_anew_after_a_look_is_told(study):
    cells, ledger = study
    cells.write(ledger)
    declare(ledger, cells, margin=2.0)
    look(ledger)
    declare(ledger, cells, "2099-01-01T00:00:00+00:00", alpha=0.1)
    told = lines(bench_of(ledger))
    assert "Declared anew after a look: margin was 2.0; alpha was 0.05." in told


def test_families_of_two_grids_are_each_decided_as_their_own_grid_declared(tmp_path):
    ledger = Ledger(tmp_path / "results")
    for target, asked, margin in (
        ("birds", "2026-01-01", 30.0),
        ("cars", "2026-01-02", 1.0),
    ):
        cells = Cells()
        base = cells.arm("scratch", target=target)
        cells.arm("a", "glyphs", 72, base, sd=1.0, target=target)
        cells.write(ledger)
        declare(ledger, cells, asked, margin=margin)
    bench = bench_of(ledger)
    found = {v.target: v for v in bench.verdicts()}
    assert (found["birds"].verdict, found["birds"].margin) == (Kind.EQUIVALENT, 30.0)
    assert found["cars"].verdict is not Kind.EQUIVALENT
    told = declared_lines(bench, bench.rules, list(found.values()))
    assert sum("for birds: " in line and "margin 30," in line for line in told) == 1
    assert sum("for cars: " in line and "margin 1," in line for line in told) == 1


def test_a_family_remembers_its_looks_when_a_config_changes_the_name_of_its_baseline(study):
    cells, ledger = study
    cells.write(ledger)
    declare(ledger, cells)
    look(ledger)
    twin = made("scratch", architecture="other_net", seed=0)
    ledger.write(replace(twin, parts=replace(twin.parts, strategy="beef00")))
    found = bench_of(ledger).verdicts()
    assert {v.baseline for v in found} != {"scratch"}  # two configs now share the name
    assert {v.reference for v in found} == {"scratch"}
    look(ledger)
    assert len(looks(ledger)) == 1


def test_a_look_that_cannot_be_written_is_a_warning(study, monkeypatch):
    cells, ledger = study
    cells.write(ledger)

    def refuse(*_):
        raise OSError("read-only file system")

    monkeypatch.setattr(Ledger, "write_document", refuse)
    bench, verdicts = look(ledger)
    assert len(verdicts) == 2
    assert "this look was not written down: read-only file system" in bench.ledger.warnings


def test_a_failed_record_becomes_a_result_without_a_score():
    failed = replace(made("x", "s", score=None), status=Status.FAILED)
    assert result_of(failed).score is None


def test_verdicts_on_a_grid_that_is_not_whole_say_so(study):
    cells, ledger = study
    cells.write(ledger)
    declare(ledger, cells)
    assert bench_of(ledger).to_come == 0
    cells.arm("late", "glyphs", 80)
    declare(ledger, cells, "2026-02-01T00:00:00+00:00")
    bench = bench_of(ledger)
    assert bench.to_come == 5
    assert "Not whole: 5 cells asked for but not run yet" in lines(bench)
    assert bench_of(ledger, {cells.records[0].id}).to_come == 0


def test_a_target_may_have_a_margin_of_its_own(study):
    cells, ledger = study
    cells.write(ledger)
    (target,) = {record.names.target for record in cells.records}
    found = {}
    for own in (None, 9.0):
        declare(
            ledger,
            cells,
            asked=f"2026-0{1 + bool(own)}-01T00:00:00+00:00",
            **({"margins": {target: own}} if own else {}),
        )
        bench = bench_of(ledger)
        found[own] = bench.verdicts()
        told = " ".join(declared_lines(bench, bench.rules, found[own]))
        assert (f"margin 1 ({target} 9)" in told) is bool(own)
        assert "typed anew" not in told
    assert {v.margin for v in found[None]} == {1.0}
    assert {v.margin for v in found[9.0]} == {9.0}
    assert {v.verdict for v in found[None]} != {v.verdict for v in found[9.0]}
