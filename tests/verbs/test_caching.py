"""`transfergrid cache` shows what is kept and removes it."""

import json

import numpy as np
import pytest

from transfergrid.records.ledgers.cached import FOLDER, Store
from transfergrid.verbs.cli import main

ABOUT = {
    "network": "small_cnn 28",
    "blocks": "all",
    "data": {"domain": "Digits", "split": "pool"},
    "view": ["light", 1],
}


def compute(rows):
    yield rows, (np.ones((len(rows), 1000), dtype=np.float32),)


def obey(*words):
    with pytest.raises(SystemExit) as caught:
        main(["cache", *map(str, words)])
    return caught.value.code


@pytest.fixture
def results(tmp_path):
    Store(tmp_path / FOLDER, 2**30).entry(ABOUT).rows(np.arange(50), compute)
    return tmp_path


def test_it_shows_what_of_which_data_is_kept(results, capsys):
    assert not obey("status", results)
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "small_cnn" in line)
    assert [*row.split()][:8] == ["small_cnn", "28", "all", "Digits", "pool", "light", "1", "50"]
    assert "201 kB" in row
    assert not obey("status", results, "--format", "json")
    [kept] = json.loads(capsys.readouterr().out)
    assert kept["examples"] == 50
    assert kept["bytes"] >= 200_000


def test_clear_removes_it_and_says_how_much(results, capsys):
    assert not obey("clear", results)
    assert "kB freed" in capsys.readouterr().out
    assert not obey("status", results)
    assert "nothing is kept" in capsys.readouterr().out
    assert Store(results / FOLDER, 2**30).entries() == []


@pytest.mark.parametrize(
    ("words", "told"), [(["stats"], "did you mean status"), (["clear", "no-such"], "no folder")]
)
def test_bad_words_are_one_line(words, told, capsys):
    assert obey(*words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line
