"""Names that are programs elsewhere are shown as names in every format."""

import csv
import io
import json
from dataclasses import replace

import pytest

from ledger_factory import made
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Status
from transfergrid.report.tables.escaping import CsvWriter, in_latex, in_markdown
from transfergrid.verbs.cli import main
from verdict_cells import Cells


def written(*fields):
    out = io.StringIO()
    CsvWriter(out).row(fields)
    ((*back,),) = csv.reader(io.StringIO(out.getvalue()))
    return back


@pytest.mark.parametrize(
    "formula",
    ["=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-2+3", "  =1", "\t=1", "＝1", "-x", "=1\n2"],
)
def test_what_a_spreadsheet_would_compute_is_text(formula):
    assert written(formula, "plain") == [f"'{formula}", "plain"]


@pytest.mark.parametrize(
    "value", ["-1", "+2.5", "-.5", "-1e-5", "a=b", "-", "–", "", "x-y", "[-1]"]
)
def test_numbers_and_names_stay_as_they_are(value):
    assert written(value) == [value]


def test_a_bare_return_begins_no_other_row():
    assert written("a\r=1") == ["a\\u000d=1"]


def test_numbers_that_are_numbers_are_written_as_ever():
    assert written(-1.5, None, True, -3) == ["-1.5", "", "True", "-3"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("a\\", r"a\\"),
        ("a\nb", "a b"),
        ("<script>", "&lt;script>"),
        ("</td>", "&lt;/td>"),
        ("p <.001", "p <.001"),
        ("[x](http://a)", r"[x\](http://a)"),
        ("[−1, +2]", "[−1, +2]"),
        ("\x1b[2J", "\\u001b[2J"),
        ("lr=0.1_2*3", "lr=0.1_2*3"),
    ],
)
def test_markdown_has_no_markup_of_names(text, told):
    assert in_markdown(text) == told


def test_latex_has_no_command_of_names():
    assert in_latex("\\input{x}\n%") == r"\textbackslash{}input\{x\} \%"
    assert in_latex("\x1b[2J") == r"\textbackslash{}u001b[2J"


ATTACK = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
EVIL = f"=1+1\x1b[2J\u202e|\n{ATTACK}</script>"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a ledger whose every name is an attack."""
    root = tmp_path_factory.mktemp("evil") / "results"
    cells = Cells()
    base = cells.arm("scratch", target=EVIL, n=3)
    cells.arm(EVIL, EVIL, 75, base, n=3, target=EVIL)
    cells.arm("x", "s", 75, base, n=3, target=EVIL, study=EVIL, labels=20)
    ledger = cells.write(Ledger(root))
    failed = made(EVIL, "f", seed=9, target=EVIL)
    ledger.fail(replace(failed, status=Status.FAILED, reason=EVIL), "")
    return root


VIEWS = [
    *(("verdicts", "R", "--format", f) for f in ("table", "csv", "json", "markdown", "latex")),
    *(("table", "R", "--format", f) for f in ("table", "csv", "json", "markdown")),
    *(("verdicts", "R", "--show", s) for s in ("flips", "classes", "beside")),
    *(("curves", "R", "--against", a) for a in ("labels", "steps")),
    ("list", "cells", "--results", "R"),
    ("compare", "R", "R"),
]


@pytest.mark.parametrize("words", VIEWS, ids=lambda words: "-".join((words[0], *words[2:])))
def test_no_view_hands_a_name_to_a_terminal_or_a_program(words, results, capsys):
    with pytest.raises(SystemExit) as left:
        main([str(results) if word == "R" else word for word in words])
    printed = capsys.readouterr()
    assert left.value.code in (0, 2)
    for text in (printed.out, printed.err):
        assert "\x1b" not in text
        assert "\u202e" not in text
    if "csv" in words:
        fields = [field for row in csv.reader(io.StringIO(printed.out)) for field in row]
        assert any(field.startswith("'=1+1") for field in fields)
        assert not any(field.startswith("=") for field in fields)
    if "json" in words:
        assert EVIL in {row["target"] for row in json.loads(printed.out)}
    if "markdown" in words:
        assert "<script" not in printed.out


def test_a_line_break_in_a_name_forges_no_row(results, capsys):
    with pytest.raises(SystemExit):
        main(["list", "cells", "--results", str(results)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(Ledger(results).records())


def test_a_page_holds_no_name_as_markup(results, tmp_path, capsys):
    page = tmp_path / "report.html"
    with pytest.raises(SystemExit) as left:
        main(["report", str(results), "-o", str(page)])
    assert left.value.code == 0, capsys.readouterr().err
    text = page.read_text(encoding="utf-8")
    assert "<script>window.hacked" not in text
    assert "\x1b" not in text  # whoever looks at the file in a terminal is safe too
    assert "<img src=x" not in text
