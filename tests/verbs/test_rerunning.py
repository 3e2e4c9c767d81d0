"""The key `rerun`, as it is typed: what is run anew, what is not, and what the plan says of it."""

import json
from unittest.mock import patch

import pytest

import pretend_grid
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers import again
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.launching import processes
from transfergrid.verbs.cli import main
from transfergrid.verbs.rerunning import Rerun

GRID = ["strategy=majority,ridge", "labels=2", "seed=0,1", "references=[]", "baselines=none"]
GRID += ["source=glyph_digits", "target=digits", "trainer.workers=1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(capsys, *words, exit_code=0):
    pretended = patch.object(processes.Pool, "command", pretend_grid.COMMAND)
    with pretended, pytest.raises(SystemExit) as left:
        main([*words])
    printed = capsys.readouterr()
    assert left.value.code == exit_code, printed.err
    return printed


def tries(folder):
    """Return how often each cell was run, by identity."""
    return {path.name: len(path.read_text().split()) for path in (folder / "tries").iterdir()}


def plan(capsys, *words):
    return json.loads(typed(capsys, "plan", *words, "--format", "json").out)["cells"]


def make_stale(ledger, identity):
    path = ledger.folder(identity) / "record.json"
    told = json.loads(path.read_text()) | {"code": "0" * 16}
    path.write_text(json.dumps(told))
    for segment in (ledger.root / "index").glob("*.parquet"):
        segment.unlink()


def test_what_is_meant_is_run_anew_and_nothing_else(here, capsys):
    typed(capsys, *GRID)
    ledger = Ledger("results")
    by_strategy = {record.names.strategy: record.id for record in ledger.records()}
    assert (len(ledger.records()), set(tries(here).values())) == (4, {1})

    typed(capsys, *GRID)
    assert set(tries(here).values()) == {1}, "nothing failed, and so nothing is run anew"

    make_stale(ledger, by_strategy["ridge"])
    asked = (*GRID, "rerun=stale")
    told = plan(capsys, *asked)
    assert (told["anew"], told["to_run"]) == ([by_strategy["ridge"]], 1)
    assert not (here / "results" / "again").exists(), "a plan writes nothing"
    assert "1 run anew" in typed(capsys, "plan", *asked).out
    assert "1 run anew" in typed(capsys, *asked).out
    assert {name for name, count in tries(here).items() if count == 2} == {by_strategy["ridge"]}
    assert plan(capsys, *asked)["to_run"] == 0

    told = plan(capsys, *GRID, "rerun=strategy=majority and seed<1")
    assert len(told["anew"]) == 1
    assert ledger.read(told["anew"][0]).names.strategy == "majority"
    one, other = (record.id for record in ledger.records()[:2])
    assert plan(capsys, *GRID, f"rerun=[{one[:8]},{other[:8]}]")["anew"] == sorted([one, other])
    assert plan(capsys, *GRID, f"rerun={one}")["anew"] == [one]
    assert plan(capsys, *GRID, "rerun=all")["to_run"] == 4


def test_a_rerun_that_was_cut_short_goes_on_and_does_nothing_twice(here, capsys):
    typed(capsys, *GRID)
    left = sorted(tries(here))[:2]
    again.mark(here / "results", left)
    assert plan(capsys, *GRID)["anew"] == left
    assert plan(capsys, *GRID, "rerun=all")["anew"] == left
    typed(capsys, *GRID, "rerun=all")
    assert {name for name, count in tries(here).items() if count == 2} == {*left}
    assert plan(capsys, *GRID)["to_run"] == 0
    assert not (here / "results" / "again").exists()


WRONG = [
    ("stail", "did you mean stale?"),
    ("nothing", "give failed, stale, all"),
    ("[]", "give failed, stale, all"),
    ("strategy=", "lacks a value"),
    ("stratgy=ridge", "did you mean strategy?"),
    ("collapsed=true", "unknown key in rerun"),
    ("strategy<2", "only labels and seed"),
    ("strategy=lora", "there is no strategy 'lora'"),
    ("labels=7", "there is no labels '7'"),
    ("abcd", "no cell of this grid begins abcd"),
    ("abc", "give failed, stale, all"),
]


@pytest.mark.parametrize(("word", "told"), WRONG)
def test_a_wrong_word_is_one_line_and_runs_nothing(word, told, here, capsys):
    printed = typed(capsys, "plan", *GRID, f"rerun={word}", exit_code=2)
    assert printed.err.count("\n") == 1
    assert told in printed.err
    assert "--where" not in printed.err
    assert not (here / "results").exists()


@pytest.mark.parametrize("told", ["failed", "stale", "all", "ab12", "[ab12, cd34]", "labels=2,20"])
def test_what_may_be_said(told):
    assert Rerun(told).told == told


@pytest.mark.parametrize("told", ["", "al", "ABC", "ab12 x", "strategy ridge", "'all'"])
def test_what_may_not_be_said(told):
    with pytest.raises(BadInputError, match="give failed, stale, all"):
        Rerun(told)


def fails(folder):
    """Let the cells of a folder fail from now on."""
    (folder / "fails").touch()


def test_a_rerun_that_fails_is_seen_wherever_failures_are_until_it_succeeds(here, capsys):
    typed(capsys, *GRID)
    ledger = Ledger("results")
    before = ledger.records()
    fails(here)
    closing = typed(capsys, *GRID, "rerun=all", exit_code=1).out
    head = "4 cells failed when run anew, what is shown is their earlier records:"
    assert head in one_line(closing)
    assert "4 × ValueError: it was asked to" in one_line(closing)
    assert "logs of failed cells" in closing
    assert ledger.records() == before, "the old records count"

    for shown in (("table",), ("verdicts",)):
        assert head in one_line(typed(capsys, *shown).out), shown
    told = json.loads(typed(capsys, "status", "--format", "json").out)
    assert (told["cells"]["failed"], told["cells"]["waiting"]) == (4, 0)
    assert sorted(told["failed_anew"]) == [record.id for record in before]
    said = one_line(typed(capsys, "status").out)
    assert "4 of them were run anew, and their earlier records count." in said
    assert "what it said before" in typed(capsys, "status", "--log").out
    assert "4 failed before, and are tried again" in typed(capsys, "plan", *GRID).out

    (here / "fails").unlink()
    closing = typed(capsys, *GRID).out
    assert "4 run anew" in closing
    assert "failed" not in closing
    assert json.loads(typed(capsys, "status", "--format", "json").out)["failed_anew"] == []


def one_line(text):
    return " ".join(text.split())
