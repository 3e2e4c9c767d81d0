"""Which strategies go into the second stage is decided by the rule that was written down before."""

import runpy
import sys
from itertools import product
from pathlib import Path

import pytest

from composed import planned
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

ROOT = Path(__file__).parents[1]
EIGHT = runpy.run_path(str(ROOT / "experiments" / "finetuning" / "eight.py"))
STUDY = runpy.run_path(str(ROOT / "experiments" / "finetuning" / "finetuning.py"))
QUICK = ("source.training.steps=60", "training.steps=20", "target=digits", "labels=2")
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


def told(strategy, target, labels, mean, over="scratch", verdict="undecided", floor=None):
    """Return a row as the study has it."""
    row = {"strategy": strategy, "target": target, "labels": labels, "mean": mean, "over": over}
    row |= {"gain": 2.04, "low": -1.0, "high": 5.0, "verdict": verdict, "items_floor": floor}
    return {**row, "section": f"{target}, {labels}"}


def test_strategies_are_ordered_by_their_distance_to_the_means_of_their_sections():
    easy = [told("sam", "flowers", 20, 90), told("lora", "flowers", 20, 80)]
    hard = [told("sam", "sst2", 5, 50), told("lora", "sst2", 5, 66), told("r3f", "sst2", 5, 55)]
    # The means are 85 and 57: lora is at (-5 + 9) / 2, sam at (5 - 7) / 2, r3f at -2.
    assert STUDY["order"]([*easy, *hard]) == ["lora", "sam", "r3f"]


def test_settings_for_texts_and_for_images_are_one_strategy():
    assert STUDY["plain_name"]("sam#f041") == STUDY["plain_name"]("sam") == "sam"


def test_sections_are_in_order_of_their_number_of_labels():
    found = [told("sam", "sst2", 20, 1), told("sam", "flowers", 5, 1), told("sam", "sst2", 5, 1)]
    assert STUDY["sections"](found) == ["flowers, 5", "sst2, 5", "sst2, 20"]


def test_a_cell_of_the_table_has_both_gains_and_what_they_came_to():
    found = [told("sam", "sst2", 5, 61.26, verdict="positive", floor=1.26)]
    found.append(told("lora", "sst2", 20, 70))
    found.append(told("sam", "sst2", 5, 61.26, over="full_finetuning"))
    lines = STUDY["table"](found).splitlines()
    assert lines[0] == "| strategy | sst2, 5 | sst2, 20 |"
    both = "61.3 ▲ +2.0 [-1.0, +5.0] (±1.3); ? +2.0 [-1.0, +5.0]"
    assert f"| `sam` | {both} | – |" in lines
    assert "| `lora` | – | 70.0 ? +2.0 [-1.0, +5.0] |" in lines


def test_what_test_items_alone_leave_is_told_of_each_section():
    found = [told("sam", "sst2", 5, 1, floor=0.44), told("lora", "sst2", 5, 1, floor=1.26)]
    assert STUDY["floors"](found) == ["sst2, 5 over scratch: ±0.4 to ±1.3 of 2 rows"]


def test_strategies_are_held_against_scratch_plain_fine_tuning_and_the_encoder_alone(
    tmp_path, monkeypatch, capsys
):
    ledger, machine = Ledger(tmp_path), Machine("cpu", threads=1, diagnostics="none")
    words = ("source=glyph_digits", "strategy=full_finetuning,ridge,refine,scratch_small")
    for cell in planned(*words, "seed=range(2)", *QUICK).cells:
        run_cell(cell, ledger, machine)
    pairs = {(row["strategy"], row["over"]) for row in STUDY["rows"](tmp_path)}
    assert pairs == {
        ("full_finetuning", "scratch"),
        *product(("ridge",), ("scratch", "full_finetuning")),
        *product(("refine",), ("scratch", "full_finetuning", "scratch_small")),
    }
    monkeypatch.setattr(sys, "argv", ["finetuning.py", str(tmp_path), "--into", str(tmp_path)])
    STUDY["main"]()
    heads, *rows = (tmp_path / "map.csv").read_text(encoding="utf-8").splitlines()
    assert heads.split(",") == [*STUDY["COLUMNS"]]
    assert [row.split(",")[:2] for row in rows] == [
        [over, name]
        for name, over in sorted(pairs, key=lambda pair: (STUDY["OVER"].index(pair[1]), pair[0]))
    ]
    assert "refine" in (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert "of 2 comparisons" in capsys.readouterr().out
