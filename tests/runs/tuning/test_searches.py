"""Which settings are tried is a function of seed block, number and what came before."""

import builtins
import importlib.util

import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.records.record import Trial
from transfergrid.runs.tuning.searches import GridSearch, OptunaSearch, RandomSearch, searched

RATE = {"low": 0.01, "high": 100.0, "log": True}
WHOLE = {"low": 1, "high": 3, "log": False, "default": 1}


def settings(search, seed=0, score=lambda values: 0.5):
    done = []
    for number in range(search.count):
        values = search.values(number, seed, done, True)
        done.append(Trial(values=values, score=score(values)))
    return [trial.values for trial in done]


def test_a_grid_lies_evenly_from_end_to_end():
    found = settings(GridSearch(trials=5, space={"lr_factor": RATE}))
    assert [values["lr_factor"] for values in found] == pytest.approx([0.01, 0.1, 1, 10, 100])


def test_a_grid_of_several_ranges_has_exactly_as_many_points():
    space = {"lr_factor": RATE, "repeat": WHOLE}
    found = settings(GridSearch(trials=7, space=space))
    assert len(found) == len({tuple(values.values()) for values in found}) == 7
    nine = settings(GridSearch(trials=9, space=space))
    assert {v["lr_factor"] for v in nine} == {0.01, 1.0, 100.0}
    assert {v["repeat"] for v in nine} == {1, 2, 3}


def test_a_grid_of_whole_numbers_has_no_more_points_than_there_are():
    found = settings(GridSearch(trials=8, space={"repeat": WHOLE}))
    assert [values["repeat"] for values in found] == [1, 2, 3]


def test_random_trials_are_the_seed_blocks_and_more_begin_with_the_same():
    few, many = (RandomSearch(trials=n, space={"lr_factor": RATE}) for n in (3, 6))
    assert settings(many)[:3] == settings(few)
    assert settings(few, seed=1) != settings(few)
    assert all(0.01 <= values["lr_factor"] <= 100 for values in settings(many))


def test_arms_draw_the_same_places_whatever_else_they_search():
    wide = RandomSearch(trials=2, space={"lr_factor": {"low": 0.1, "high": 1000.0, "log": True}})
    both = RandomSearch(trials=2, space={"repeat": WHOLE, "lr_factor": RATE})
    for one, other in zip(settings(wide), settings(both), strict=True):
        assert one["lr_factor"] == pytest.approx(10 * other["lr_factor"])


def test_optuna_goes_where_scores_are_better_and_on_where_it_was_stopped():
    pytest.importorskip("optuna")
    search = OptunaSearch(trials=16, space={"lr_factor": RATE, "repeat": WHOLE})

    def near_ten(values):
        return -abs(values["lr_factor"] - 10)

    found = settings(search, score=near_ten)
    assert found == settings(search, score=near_ten)
    assert all(type(values["repeat"]) is int for values in found)
    late = sorted(abs(values["lr_factor"] - 10) for values in found[8:])
    assert late[len(late) // 2] < 9, "random draws are mostly below 1"
    failed = [Trial(values=found[0], reason="diverged")]
    assert search.values(1, 0, failed, True).keys() == {"lr_factor", "repeat"}


def test_without_optuna_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    real = builtins.__import__

    def absent(name, *rest, **kinds):
        assert name != "optuna"
        return real(name, *rest, **kinds)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(BadInputError, match=r"pip install 'transfergrid\[optuna\]'"):
        OptunaSearch(space={"lr_factor": RATE}).check()
    RandomSearch(space={"lr_factor": RATE}).check()


@pytest.mark.parametrize("trials", [0, -1, 2.5, True])
def test_trials_are_counted(trials):
    with pytest.raises(BadInputError, match="trials"):
        RandomSearch(trials=trials)


def test_what_identity_keeps_of_a_space_is_what_is_searched():
    told = {**RATE, "default": 3.0, "under": {"text": 0.1}}
    assert searched({"lr_factor": told}) == {"lr_factor": RATE}
    assert (
        RandomSearch(space=searched({"repeat": {**WHOLE, "default": 2}})).ranges["repeat"].is_whole
    )
