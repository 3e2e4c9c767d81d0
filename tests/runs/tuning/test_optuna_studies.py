"""A search over whole cells: what it asks for, and that its journal goes on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.runs.tuning.studies import SAMPLERS, Dimension, Study

SPACE = {
    "strategy": Dimension(choices=("a", "b")),
    "strategy.lr_factor": Dimension(low=0.1, high=10.0, log=True),
    "training.steps": Dimension(low=50, high=200, whole=True, step=50),
}


def study(folder: Path, **changed: Any) -> Study:
    return Study(folder / "searches" / "s.journal", "s", SPACE, **changed)


def score(values: dict[str, str]) -> float:
    return int(values["training.steps"]) + (values["strategy"] == "b")


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "cmaes"])
def test_what_is_asked_for_lies_within_what_was_given(tmp_path: Path, sampler: str) -> None:
    search = study(tmp_path, sampler=sampler)
    for _ in range(6):
        asked = search.ask()
        assert asked.values["strategy"] in ("a", "b")
        assert 0.1 <= float(asked.values["strategy.lr_factor"]) <= 10
        assert asked.values["training.steps"] in ("50", "100", "150", "200")
        search.tell(asked, score(asked.values))
    assert search.count == 6


@pytest.mark.parametrize(("maximise", "best"), [(True, max), (False, min)])
def test_the_best_is_by_the_direction_of_the_metric(
    tmp_path: Path, maximise: bool, best: Any
) -> None:
    search = study(tmp_path, maximise=maximise, sampler="random")
    scores = []
    for _ in range(8):
        asked = search.ask()
        scores.append(score(asked.values))
        search.tell(asked, scores[-1])
    assert search.best is not None
    assert search.best.score == best(scores)
    assert search.best.number == scores.index(best(scores))


def test_a_search_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    first = study(tmp_path)
    for number in range(3):
        asked = first.ask()
        assert asked.number == number
        first.tell(asked, score(asked.values))
    again = study(tmp_path)
    assert again.told == first.told
    assert again.ask().number == 3


def test_a_trial_that_was_cut_is_asked_for_again_and_counts_once(tmp_path: Path) -> None:
    first = study(tmp_path)
    cut, alive = first.ask(), first.ask()
    first.begin(cut, ["cut"])
    first.begin(alive, ["alive"])
    again = study(tmp_path)
    again.go_on(lambda cells: cells == ["alive"])
    assert again.count == 1
    repeated = again.ask()
    assert repeated.values == cut.values
    assert again.count == 2
    again.tell(repeated, 1.0)
    assert [told.score for told in again.told] == [1.0]


def test_a_trial_without_a_score_says_why_and_is_never_the_best(tmp_path: Path) -> None:
    search = study(tmp_path)
    asked = search.ask()
    search.fail(asked, "it cannot be")
    [told] = study(tmp_path).told
    assert (told.score, told.reason) == (None, "it cannot be")
    assert search.best is None
    assert search.count == 1


def test_what_runs_side_by_side_is_asked_for_apart(tmp_path: Path) -> None:
    search = study(tmp_path)
    for _ in range(12):
        asked = search.ask()
        search.tell(asked, score(asked.values))
    together = [search.ask().values["strategy.lr_factor"] for _ in range(4)]
    assert len(set(together)) == 4


def test_a_sampler_that_is_none_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="did you mean tpe"):
        study(tmp_path, sampler="tpee")
