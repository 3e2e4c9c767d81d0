"""Copies are told once for each target and source, under every form of the table."""

from dataclasses import replace

from ledger_factory import made, measured
from transfergrid.records.record import Data
from transfergrid.report.tables.sheet import render
from transfergrid.report.views.table import sheet
from transfergrid.report.wording.copies import copies


def cell(strategy="scratch", source=None, seed=0, test=1060, **notes):
    return replace(made(strategy, source, seed=seed), data=Data(test=test, notes=notes))


def lines(*cells):
    return copies(measured(cells))


POOL = {"exact": 252, "near": 40, "dropped": 0, "pairs": []}


def test_copies_in_the_pool_are_told_once_with_the_way_out():
    cells = [cell(seed=s, duplicates=POOL) for s in range(3)]
    cells += [cell("full_finetuning", "glyphs", seed=0, duplicates=POOL)]
    assert lines(*cells) == [
        "digits: 252 of 1,060 test examples have an exact copy, 40 a near one, in the pool; "
        "target.duplicates=drop leaves them out"
    ]


def test_what_was_dropped_is_told():
    (line,) = lines(cell(duplicates={"exact": 1, "near": 0, "dropped": 3}))
    assert line == (
        "digits: 1 of 1,060 test examples has an exact copy in the pool; "
        "the 3 examples there that are copies are left out"
    )


def test_copies_in_a_source_domain_name_the_source():
    found = {"exact": 0, "near": 7, "dropped": 0}
    (line,) = lines(cell("source_and_target", "glyphs", source_copies=found))
    assert line == ("digits: 7 of 1,060 test examples have a near copy in what glyphs learned from")
    (line,) = lines(cell("source_only", "glyphs", source_copies={**found, "dropped": 9}))
    assert line.endswith("; beside the target, the 9 examples there that are copies are left out")


def test_without_copies_nothing_is_said():
    assert lines(cell(), cell("majority", duplicates={"exact": 0, "near": 0, "dropped": 0})) == []


def test_the_lines_stand_below_the_table_and_in_rows():
    rows = measured([cell(duplicates=POOL)])
    for format in ("table", "markdown"):
        text = render(sheet(rows), format=format, width=200, ascii_only=True)
        assert text.isascii() or format == "markdown"
        assert "252 of 1,060 test examples have an exact copy" in text
    assert rows[0].remarks.copies == {"test": 1060, "exact": 252, "near": 40}
