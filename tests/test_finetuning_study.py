"""Which strategies go into the second stage is decided by the rule that was written down before."""

import runpy
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EIGHT = runpy.run_path(str(ROOT / "experiments" / "finetuning" / "eight.py"))
SECTIONS = [*product(("flowers", "sst2"), (5, 20))]


def runs(strategy, means, seeds=2):
    """Return runs of which each section has a mean, a point to either side of it."""
    sections = zip(SECTIONS, means, strict=False)
    return [
        EIGHT["Run"](strategy, *section, seed, mean + 2 * seed - seeds + 1)
        for section, mean in sections
        for seed in range(seeds)
    ]


def test_a_score_is_the_mean_of_sections_of_those_that_are_in_all_of_them():
    found = [*runs("sam", [80, 90, 60, 70]), *runs("co_tuning", [99, 99])]
    found += [*runs("mixout", [99, 99, 99, 99], seeds=1)]
    assert EIGHT["means"](found) == {"sam": 75.0}


@pytest.mark.parametrize("best", ["full_finetuning", "gradual_unfreezing"])
def test_the_best_of_each_room_joins_those_that_are_given(best):
    scores = {"full_finetuning": 50.0, "gradual_unfreezing": 60.0, "auto_rgn": 40.0}
    scores |= {"sam": 61.0, "l2_sp": 62.0, "lora": 10.0, "wise_ft": 1.0, "ridge": 5.0}
    scores |= {"fitnets": 99.0, "side_tuning": 98.0, "refine": 2.0, best: 70.0}
    given = ["full_finetuning", "feature_extraction", "refine"]
    expected = [*given, "gradual_unfreezing", "l2_sp", "lora", "wise_ft", "ridge"]
    assert EIGHT["chosen"](scores, EIGHT["rooms"]()) == expected


def test_rooms_are_the_packages_of_strategies():
    rooms = EIGHT["rooms"]()
    assert {rooms[name] for name in EIGHT["GIVEN"]} == {"fine_tuning", "beside"}
    assert set(EIGHT["ROOMS"]) <= set(rooms.values())
