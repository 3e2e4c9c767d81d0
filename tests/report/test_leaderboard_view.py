"""The leaderboard as it is read: 80 columns, plain characters, programs."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.evidence.leaderboard import leaderboards
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Cost
from transfergrid.report.html.boards import leaders
from transfergrid.report.html.drawing import drawn
from transfergrid.report.tables.sheet import render as written
from transfergrid.report.views.costs import LEGEND, amount, milliseconds
from transfergrid.report.views.leaderboard import sheet
from transfergrid.verbs.cli import main
from verdict_cells import Cells


def render(boards, format="table", **options):
    return written(sheet(boards), format, **options)


@pytest.fixture
def cells():
    """Return two sources with two strategies on four targets; one arm lacks two of them."""
    cells = Cells()
    for target in ("digits", "letters", "birds", "cars"):
        base = cells.arm("scratch", target=target)
        for source in ("net_trained_on_everything", "net_trained_on_something"):
            cells.arm("full_finetuning", source, 80, base, sd=0.7, target=target)
            if target in ("digits", "cars"):
                cells.arm("a_strategy_with_a_rather_long_name", source, 60, base, target=target)
    return cells


@pytest.fixture
def boards(cells):
    results = results_from(cells.records)
    return leaderboards(judge(results, read=cells.read), results)


def test_it_fits_80_columns_and_plain_characters(boards):
    for ascii_only in (False, True):
        text = render(boards, ascii_only=ascii_only)
        assert max(map(len, text.splitlines())) <= 80
        assert not ascii_only or text.isascii()
    assert "net…ything" in render(boards) or "everything" in render(boards)
    assert text.count("full_finetuning") >= 4  # of two sources, in two blocks of places


def test_a_place_holds_score_gain_and_mark(boards):
    text = render(boards, width=200)
    (line,) = [x for x in text.splitlines() if "full_finetuning" in x and "everything" in x]
    assert line.split("  ")[0].strip() == "1.5"
    assert line.count("80.1* +10.0 ▲▲") == 4
    (base,) = [x for x in text.splitlines() if x.split()[1:2] == ["scratch"]]
    assert base.split() == ["3.0", "scratch", *["70.1"] * 4]
    (short,) = [x for x in text.splitlines() if "rather_long" in x and "everything" in x]
    assert short.split()[0] == "–"
    assert short.split().count("–") == 3  # its rank and two places
    assert "among the 3 arms that have a score in all of them, on the 5 seeds" in text
    assert "2 lack some" in text
    assert "*" not in base + short
    best = "* not distinguishable from the best of its place: 2 of 3 (birds, 20), 2 of 5 (cars, 20)"
    assert best in text


def test_programs_get_a_row_for_each_arm_and_place(boards):
    rows = json.loads(render(boards, "json"))
    assert len(rows) == 4 * 3 + 2 * 2
    one = next(r for r in rows if r["strategy"] == "full_finetuning")
    assert (one["verdict"], one["mean_rank"], one["n"]) == ("positive", 1.5, 5)
    assert len(list(csv.DictReader(io.StringIO(render(boards, "csv"))))) == len(rows)
    assert "| rank | strategy | source | birds |" in render(boards, "markdown")


def test_the_page_has_it_open_with_marks(boards):
    section = leaders(boards)
    (table,) = section.tables
    assert len(table.rows) <= section.most_open
    shown = drawn(table)
    assert shown.heads[:3] == ["rank", "strategy", "source"]
    assert shown.lines[0][3] == "80.1* +10.0 ▲▲"
    assert any("doubled: the whole interval lies beyond" in note for note in section.notes)
    assert leaders([]) is None


def test_it_is_typed_and_is_a_look(cells, tmp_path, capsys):
    root = cells.write(Ledger(tmp_path / "results")).root
    with pytest.raises(SystemExit) as left:
        main(["table", str(root), "--leaderboard", "--where", "target=digits"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "digits · 20 labels a class" in printed
    assert "letters" not in printed
    assert [look.by for look in looks(bench_of(Ledger(root)).ledger)] == ["table"]
    with pytest.raises(SystemExit) as left:
        main(["table", str(root), "--leaderboard", "--by-group"])
    assert left.value.code == 2


# What predictions cost --------------------------------------------------------------------------


@pytest.fixture
def costly(cells):
    """Of one arm all is known, of another one only what it trained, of the others nothing."""
    for cell, seconds in zip(cells.records, (0.3, 0.0083, 0.0084, 0.0001, 0.02), strict=False):
        known = Cost(parameters_trained=2_236_682, flops_forward=612e6, seconds_forward=seconds)
        cells.change([cell], cost=replace(known, flops_forward=int(known.flops_forward)))
    part = [c for c in cells.records if c.names.strategy == "full_finetuning"][:5]
    cells.change(part, cost=Cost(parameters_trained=590))
    results = results_from(cells.records)
    return leaderboards(judge(results, read=cells.read), results)


def test_what_predictions_cost_stands_behind_the_places(costly):
    text = render(costly, width=200)
    assert re.search(r"rank +strategy +source .* trained +FLOPs +ms$", text, re.M)
    assert re.search(r" scratch .* 2\.2M +612M +8\.4$", text, re.M)  # the median of five seeds
    assert re.search(r" full_finetuning +net_trained_on_everything .* 590 +– +–$", text, re.M)
    assert re.search(r" full_finetuning +net_trained_on_something .* – +– +–$", text, re.M)
    assert LEGEND in text
    assert max(map(len, render(costly).splitlines())) <= 80


def test_programs_are_told_what_predictions_cost(costly):
    rows = json.loads(render(costly, "json"))
    one = next(row for row in rows if row["strategy"] == "scratch" and row["target"] == "digits")
    keys = ("parameters_trained", "flops_forward", "seconds_forward")
    assert tuple(one[key] for key in keys) == (2_236_682, 612_000_000, 0.0084)
    assert {tuple(row[key] for key in keys) for row in rows} > {(None, None, None)}


def test_records_from_before_there_were_costs_are_shown_without(boards):
    assert "FLOPs" not in render(boards, width=200)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (590, "590"), (999.6, "1.0k"), (12_345, "12k"), (2_236_682, "2.2M"), (4e9, "4.0G")],
)
def test_amounts_have_two_digits_or_more(value, written):
    assert amount(value) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0083, "8.3"), (0.12, "120"), (0.00012, "0.12"), (3.12e-5, "0.031")],
)
def test_milliseconds_have_two_digits_or_more(seconds, written):
    assert milliseconds(seconds) == written
