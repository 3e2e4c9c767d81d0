"""The verb `tune`, from typed words to the table and the log."""

import csv
import json

import pytest

from transfergrid.evidence.defaults import Default
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledger import Ledger
from transfergrid.report.defaults_table import to_write
from transfergrid.runs.launching.processes import Pool
from transfergrid.verbs.tuning import command

WORDS = [
    *("source=glyph_digits", "strategy=coral", "target=digits", "labels=0,2", "training.steps=2"),
    *("tuning.trials=2", "tuning.held_out=3", "tuning.only=[lr_factor]"),
    *("tuning.space={lr_factor: {low: 0.1, high: 10}}", "trainer.diagnostics=none"),
    *("trainer.workers=1", "trainer.accelerator=cpu"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("tuning") / "results"


@pytest.fixture
def run(results, monkeypatch):
    """Obey the verb with these words; what ran before, in this module, is done."""

    def obey(*more):
        return command([*WORDS, f"results={results}", *more])

    return obey


def test_all_search_alike_and_test_is_no_part_of_it(run, results, tmp_path, capsys):
    log = tmp_path / "log.csv"
    assert run("-o", str(log), "--format", "json") == 0
    rows = {row["strategy"]: row for row in json.loads(capsys.readouterr().out)}
    assert {name: row["cells"] for name, row in rows.items()} == {
        **{"coral": 2, "scratch": 1, "source_and_target": 1, "source_only": 1}
    }
    assert {row["trials"] for row in rows.values()} == {2}
    tied = [rows[name] for name in ("coral", "source_and_target", "source_only")]
    assert len({row["setting"]["lr_factor"] for row in tied}) == 1
    assert all(row["edges"] == ["lr_factor"] for row in rows.values())
    with log.open(newline="") as file:
        told = list(csv.DictReader(file))
    records = {record.id: record for record in Ledger(results).records()}
    assert len(told) == 2 * len(records) == 10
    for row in told:
        trial = records[row["cell"]].tuning.trials[int(row["trial"])]
        assert float(row["lr_factor"]) == trial.values["lr_factor"]
        assert float(row["score"]) == pytest.approx(trial.score, abs=1e-6)
    means = {name: [] for name in rows}
    for row in told:
        if float(row["lr_factor"]) == rows[row["strategy"]]["setting"]["lr_factor"]:
            means[row["strategy"]].append(100 * float(row["score"]))
    for name, scores in means.items():
        assert rows[name]["score"] == pytest.approx(sum(scores) / len(scores), abs=1e-3)


def test_the_same_command_goes_on_and_the_table_fits(run, results, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    before = len(Ledger(results).records())
    assert before == 5
    assert run() == 0
    shown = capsys.readouterr().out
    assert "5 done before" in shown
    assert len(Ledger(results).records()) == before
    assert max(map(len, shown.splitlines())) <= 80
    assert "1 seed · 2 trials a cell · by 3 labels a class held out" in " ".join(shown.split())
    assert "stands at the edge of what was tried, 0.1 to 10: look beyond" in " ".join(shown.split())
    assert "  scratch: lr_factor: {default: " in shown


def test_a_kind_of_training_has_its_own_line():
    setting = {"lr_factor": 0.94868, "weight": 2.0}
    found = Default("s", setting, *(0, 0, 0), *(1, 1, 2, 0, 0), (), {}, {})
    assert to_write(found, "text") == "lr_factor: {under: {text: 0.95}}, weight: {under: {text: 2}}"
    assert to_write(found, None) == "lr_factor: {default: 0.95}, weight: {default: 2}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tuning=none"], "tuning=none searches nothing: take grid, random or optuna"),
        (["training=default,text"], "defaults are chosen under one training at a time"),
        (["tuning=grid,random"], "defaults are chosen under one tuning at a time"),
        (["tuning=optuna"], "each cell of coral would try other settings"),
        (["tuning=random", "tuning.seed=null"], "each cell of coral would try other settings"),
        (["tuning.held_out=null"], "nothing is searched: no label validates"),
        (["tuning.only=[lr_facto]"], "unknown argument in tuning.only 'lr_facto'"),
        (["tuning.trials=0"], "tuning.trials"),
        (["debug=true"], "debug=true runs one cell"),
        (["baselines=none"], "baselines=none: a search is equal where the baselines search too"),
        (["strategy=corall"], "did you mean coral"),
        (["tunning=grid"], "tunning"),
        (["-o", "there/is/none.csv"], "there is no folder"),
        (["--format", "xml"], "xml"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, monkeypatch, words, told):
    monkeypatch.setattr(Pool, "begin", lambda *_: None)  # no worker is waited for
    keys = {word.partition("=")[0] for word in words}
    rest = [word for word in WORDS if word.partition("=")[0] not in keys]
    with pytest.raises(BadInputError) as refused:
        command([*rest, f"results={tmp_path / 'results'}", *words])
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "results" / "cells").exists()
