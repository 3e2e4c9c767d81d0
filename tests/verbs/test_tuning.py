"""The verb `tune`, from typed words to the table and the log."""

import csv
import json
import re

import numpy as np
import pytest

from composed import planned
from transfergrid.evidence.chosen.defaults import Default
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.report.planning.defaults_table import to_write
from transfergrid.runs.launching.processes import Pool
from transfergrid.verbs.tuning import command

SEARCH = [
    *("tuning.trials=2", "tuning.held_out=3", "trainer.workers=1", "trainer.accelerator=cpu"),
    *("tuning.space={lr_factor: {low: 0.1, high: 10}}", "trainer.diagnostics=none"),
]
ADAPTS = ["source=glyph_digits", "strategy=coral", "target=digits", "labels=0,2", *SEARCH]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tuning")


@pytest.fixture(scope="module")
def run(folder):
    """Obey the verb, on a few noisy pictures; what ran before, in this module, is done."""
    rng = np.random.default_rng(0)
    labels = np.arange(3).repeat(16)
    pictures = rng.integers(0, 90, (48, 12, 12), dtype=np.uint8) + 80 * labels[:, None, None]
    file, names = folder / "tiny.npz", np.array(["a", "b", "c"])
    half = {"x": pictures.astype(np.uint8), "y": labels}
    splits = {f"{key}_{split}": half[key] for key in half for split in ("train", "test")}
    np.savez(file, **splits, class_names=names)
    words = [
        *("source=timm", "source.model=test_resnet", "source.architecture.size=16"),
        *("source.architecture.options={in_chans: 1}", "strategy=logistic_regression"),
        *("target=arrays", f"target.file={file}", "labels=2", "training.steps=2"),
    ]
    return lambda *more: command([*words, *SEARCH, f"results={folder / 'results'}", *more])


def test_all_search_alike_and_what_is_chosen_is_in_the_log(run, folder, capsys):
    log = folder / "log.csv"
    assert run("-o", str(log), "--format", "json") == 0
    rows = {row["strategy"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == {"logistic_regression", "scratch"}, "scratch is always among them"
    assert {(row["cells"], row["trials"]) for row in rows.values()} == {(1, 2)}
    with log.open(newline="") as file:
        told = list(csv.DictReader(file))
    records = {record.id: record for record in Ledger(folder / "results").records()}
    assert len(told) == 2 * len(records) == 4
    for row in told:
        trial = records[row["cell"]].tuning.trials[int(row["trial"])]
        (name,) = trial.values
        assert name == {"scratch": "lr_factor", "logistic_regression": "c"}[row["strategy"]]
        assert float(row[name]) == trial.values[name]
        assert float(row["score"]) == pytest.approx(trial.score, abs=1e-6)
    for name, row in rows.items():
        best = max(float(each["score"]) for each in told if each["strategy"] == name)
        assert row["score"] == pytest.approx(100 * best, abs=1e-3)
        assert [*row["edges"]] == [*row["setting"]]


def test_the_same_command_goes_on_and_the_table_fits(run, folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert len(Ledger(folder / "results").records()) == 2
    assert run() == 0
    shown = capsys.readouterr().out
    assert "2 done before" in shown
    assert len(Ledger(folder / "results").records()) == 2
    assert max(map(len, shown.splitlines())) <= 80
    assert "1 seed · 2 trials a cell · by 3 labels a class held out" in " ".join(shown.split())
    assert "stands at the edge of what was tried, 0.1 to 10: look beyond" in " ".join(shown.split())
    assert "  scratch: lr_factor: {default: " in shown


def test_its_last_line_is_what_a_grid_takes(run, capsys):
    assert run("--format", "json") == 0
    (chosen,) = (
        row["setting"]["lr_factor"]
        for row in json.loads(capsys.readouterr().out)
        if row["strategy"] == "scratch"
    )
    assert run() == 0
    (last,) = re.findall(r"'(strategy_defaults=\{.*\})'", capsys.readouterr().out, re.DOTALL)
    (scratch,) = (c for c in planned(last).cells if c.names.source is None)
    assert scratch.config["strategy"]["lr_factor"] == float(f"{chosen:.2g}") != 3


def test_a_kind_of_training_has_its_own_line():
    setting = {"lr_factor": 0.94868, "weight": 2.0}
    found = Default("s", setting, *(0, 0, 0), *(1, 1, 2, 0, 0), (), {}, {})
    assert to_write(found, "text") == "lr_factor: {under: {text: 0.95}}, weight: {under: {text: 2}}"
    assert to_write(found, None) == "lr_factor: {default: 0.95}, weight: {default: 2}"


@pytest.mark.parametrize("key", ["strategy", "target"])
def test_what_is_searched_for_is_typed(key):
    with pytest.raises(BadInputError, match=f"tune also needs {key}=..."):
        command([word for word in ADAPTS if not word.startswith(f"{key}=")])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tuning=none"], "tuning=none searches nothing: take grid, random or optuna"),
        (["training=default,text"], "defaults are chosen under one training at a time"),
        (["tuning=grid,random"], "defaults are chosen under one tuning at a time"),
        (["tuning=optuna"], "each cell of coral would try other settings"),
        (["tuning=random", "tuning.seed=null"], "each cell of coral would try other settings"),
        (["tuning.held_out=null"], "nothing is searched: no label validates"),
        (
            ["tuning.held_out=null", "labels=0", "training.selection=snd"],
            "training.selection compares without: tuning.held_out=20 sets labels aside",
        ),
        (["tuning.only=[lr_facto]"], "unknown argument in tuning.only 'lr_facto'"),
        (["tuning.trials=0"], "tuning.trials"),
        (["debug=true"], "debug=true runs one cell"),
        (["baselines=none"], "baselines=none: a search is equal where the baselines search too"),
        (["strategy=corall"], "did you mean coral"),
        (["tunning=grid"], "tunning"),
        (["-o", "there/is/none.csv"], "give a file in a folder that is there"),
        (["-o", "."], "give a file in a folder that is there"),
        (["labels=all"], "tuning.held_out=3: labels=all leaves nothing of the pool to judge by"),
        (["--format", "xml"], "xml"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, monkeypatch, words, told):
    monkeypatch.setattr(Pool, "begin", lambda *_: None)  # no worker is waited for
    keys = {word.partition("=")[0] for word in words}
    rest = [word for word in ADAPTS if word.partition("=")[0] not in keys]
    with pytest.raises(BadInputError) as refused:
        command([*rest, f"results={tmp_path / 'results'}", *words])
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "results" / "cells").exists()
