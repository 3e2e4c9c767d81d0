"""What is printed fits where it is printed, be it a place without our characters."""

import io

import pytest

from ledger_factory import made
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Data
from transfergrid.report.tables.terminal import Terminal
from transfergrid.report.wording.words import ASCII, UNICODE
from transfergrid.verbs import curves, table, verdicts
from verdict_cells import Cells


def place(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def written(file):
    file.flush()
    return file.buffer.getvalue()


@pytest.mark.parametrize(("encoding", "symbols"), [("utf-8", UNICODE), ("ascii", ASCII)])
def test_the_encoding_says_which_characters_there_are(encoding, symbols):
    assert Terminal.of(place(encoding)).symbols is symbols


def test_what_cannot_be_shown_is_a_question_mark_and_no_error():
    file = place("ascii")
    Terminal.of(file).write("κ +1.0\n")
    assert written(file) == b"? +1.0\n"


def test_without_a_terminal_the_columns_are_those_asked_for(monkeypatch):
    monkeypatch.setenv("COLUMNS", "71")
    assert (Terminal.of(place("utf-8")).width, Terminal.of(place("utf-8")).color) == (71, False)


@pytest.mark.parametrize(
    "words",
    [
        *(["--show", view] for view in ("flips", "classes", "beside")),
        *(["--show", "flips", "--format", "markdown"], ["--format", "table"]),
        ["--format", "markdown"],
    ],
)
def test_every_view_can_be_printed_in_plain_characters(words, tmp_path, monkeypatch):
    cells = Cells()
    base = cells.arm("scratch")
    longer = cells.arm("scratch_converged", mean=90)
    cells.arm("a", "glyphs", 80, base, sd=1.0, exploratory=[longer])
    cells.change(cells.records, data=Data(classes=("cat", "dog")))
    cells.write(Ledger(tmp_path))
    Ledger(tmp_path).write(made("b", "glyphs"))
    file = place("ascii")
    monkeypatch.setattr("sys.stdout", file)
    assert verdicts.command([str(tmp_path), *words]) == 0
    assert b"glyphs" in written(file)


@pytest.mark.parametrize("verb", [table, curves])
def test_gains_can_be_printed_in_plain_characters(verb, tmp_path, monkeypatch):
    cells = Cells()
    cells.arm("a", "glyphs", 80, cells.arm("scratch"), sd=1.0)
    cells.write(Ledger(tmp_path))
    file = place("ascii")
    monkeypatch.setattr("sys.stdout", file)
    assert verb.command([str(tmp_path)]) == 0
    assert b"a" in written(file)
