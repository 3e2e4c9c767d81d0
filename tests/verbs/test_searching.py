"""`hydra/sweeper=optuna`: trials are cells, judged by validation, and the same command goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.tuning.studies import Dimension
from transfergrid.verbs import cli
from transfergrid.verbs.configs.searched_space import split

SEARCH = [
    *("hydra/sweeper=optuna", "strategy=scratch,scratch_converged", "target=digits", "labels=20"),
    *("strategy.lr_factor=tag(log, interval(0.3, 3))", "training.steps=3", "seed=range(2)"),
    *("trainer.workers=2", "trainer.threads=1", "trainer.accelerator=cpu", "results=out"),
]


def command(words: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return int(ended.value.code or 0)


def test_words_are_told_apart() -> None:
    words = split(
        [
            *("strategy=l2_sp,coral", "++strategy.lr_factor=tag(log, interval(0.1, 10))"),
            *("training.steps=range(50, 201, 50)", "training.batch_size=int(interval(8, 64))"),
            *("seed=range(3)", "labels=20,100", "source=mnist", "trainer.workers=2"),
        ],
        {"training.lr": "0.1,1", "target": "digits", "strategy": "adda"},
        None,
    )
    assert words.space == {
        "strategy": Dimension(choices=("l2_sp", "coral")),
        "strategy.lr_factor": Dimension(low=0.1, high=10.0, log=True),
        "training.steps": Dimension(low=50, high=200, whole=True, step=50),
        "training.batch_size": Dimension(low=8, high=64, whole=True),
        "training.lr": Dimension(choices=("0.1", "1")),
    }
    assert words.fixed == ["seed=range(3)", "labels=20,100", "source=mnist", "trainer.workers=2"]
    assert words.params == {"target": "digits"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("strategy.lr_factor=interval(3, 1)", "a lower and a higher end"),
        ("strategy.lr_factor=tag(log, interval(0, 1))", "above 0"),
        ("seed=range(3)", "nothing to search"),
    ],
)
def test_a_space_that_is_none_is_refused(word: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        split([word], {}, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["labels=5"], "no label validates"),
        (["keep=all"], "keeps no weights"),
        (["debug=true"], "takes all of its cells"),
        (["hydra.sweeper.trials=0"], "whole number from 1"),
        (["hydra.sweeper.sampler=tpee"], "did you mean tpe"),
        (["strategy=scratch,scrach"], "did you mean scratch"),
        (["strategy=source_only,scratch"], "no label validates"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "cells").mkdir(parents=True)  # no worker begins before the plan
    keys = {word.partition("=")[0] for word in words}
    kept = [word for word in SEARCH if word.partition("=")[0] not in keys]
    assert command([*kept, *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A search of three trials, and what it said."""
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert command([*SEARCH, "hydra.sweeper.trials=3"]) == 0
    return folder / "out", []


def scores(ledger: Ledger) -> dict[tuple[str, Any], list[float]]:
    """Return validation scores by what was searched."""
    found: dict[tuple[str, Any], list[float]] = {}
    for record in ledger.records():
        key = (record.names.strategy, record.config["strategy"]["lr_factor"])
        assert record.scores.validation is not None
        found.setdefault(key, []).append(record.scores.validation["accuracy"])
    return found


def test_trials_are_cells_on_every_seed_without_baselines(searched: Any) -> None:
    ledger = Ledger(searched[0])
    assert [len(seeds) for seeds in scores(ledger).values()] == [2, 2, 2]
    assert all(0.3 <= factor <= 3 for _, factor in scores(ledger))
    assert all(record.baseline is None for record in ledger.records())


def test_the_same_command_runs_nothing_again_and_more_trials_go_on(
    searched: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = searched[0]
    monkeypatch.chdir(root.parent)
    assert command([*SEARCH, "hydra.sweeper.trials=3"]) == 0
    said = capsys.readouterr().out
    best = max(sum(found) / 2 for found in scores(Ledger(root)).values())
    assert "3 of 3 trials were there before" in said
    assert f"best of 3 by validation accuracy: {100 * best:.4g} %" in said
    assert "starting" not in said
    before = {record.id for record in Ledger(root).records()}
    assert command([*SEARCH, "hydra.sweeper.trials=4"]) == 0
    after = {record.id for record in Ledger(root).records()}
    assert before < after
    assert len(after) == 8
    [journal] = (root / "searches").glob("*.journal")
    assert all(json.loads(line) for line in journal.read_text().splitlines())
