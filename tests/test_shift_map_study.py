"""The study of shifted moons, small: its map says of each place what its cells say."""

import runpy
from pathlib import Path

import pytest

from composed import planned
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

ROOT = Path(__file__).parents[1]
STUDY = runpy.run_path(str(ROOT / "experiments" / "shift_map" / "shift_map.py"))
SHIFTS = ("none", "translated", "rotated", "sub_clusters")
STRATEGIES = ("source_only", "coral", "mmd", "domain_adversarial", "mcc", "shot", "kmm", "tca")


def test_places_are_told_by_the_source_s_name():
    place_of = STUDY["place_of"]
    assert place_of("moons(domain.shift=rotated,label_noise=0.2,seed=block)") == ("rotated", "20 %")
    assert place_of("moons(domain.shift=all,label_noise=null,seed=block)") == ("all", "0 %")
    assert place_of("moons") == ("none", "0 %")


def test_those_that_hurt_most_often_come_last():
    told = [("coral", "positive"), ("mmd", "negative"), ("tca", "undecided"), ("coral", "negative")]
    found = [{"strategy": name, "verdict": verdict, "shift": "all"} for name, verdict in told]
    found.append({"strategy": "mmd", "verdict": "negative", "shift": "none"})
    assert STUDY["order"](found) == ["tca", "coral", "mmd"]
    lines = STUDY["tally"](found, "shift", ["all", "none"]).splitlines()
    assert lines[0] == "| shift | positive | undecided | negative |"
    assert lines[2:] == ["| `all` | 1 | 1 | 2 |", "| `none` |  |  | 1 |"]


def test_how_often_below_by_strategy_and_rule():
    told = [(None, "snd", 4, 2), (None, "dev", 4, 1), ("coral", "snd", 3, 2), ("mmd", "dev", 1, 1)]
    told.append(("source_only", "snd", 0, 0))
    keys = ("strategy", "rule", "compared", "below")
    lines = STUDY["below"]([dict(zip(keys, row, strict=True)) for row in told]).splitlines()
    assert lines[0] == "| strategy | n | snd | dev |"
    assert lines[2:] == [
        "| all | 4 | 50 % | 25 % |",
        "| `coral` | 3 | 67 % |  |",
        "| `mmd` | 1 |  | 100 % |",
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the rows of four shifts and eight strategies, three seeds, as the study runs them."""
    place = tmp_path_factory.mktemp("shift_map") / "results"
    ledger, machine = Ledger(place), Machine("cpu", threads=1, diagnostics="none")
    words = ["source=moons", "source.seed=block", "target=moons", "training=vectors", "labels=0"]
    words += [f"source.domain.shift={','.join(SHIFTS)}", f"strategy={','.join(STRATEGIES)}"]
    for cell in planned(*words, "seed=range(3)").cells:
        run_cell(cell, ledger, machine)
    return STUDY["rows"](place)


def test_every_place_has_its_verdict(found):
    there = {(row["strategy"], row["shift"]) for row in found}
    judged = set(STRATEGIES) - {"source_only"}
    assert {(name, shift) for name in judged for shift in SHIFTS} <= there
    assert {row["noise"] for row in found} == {"0 %"}
    assert {row["n"] for row in found} == {3}


def test_without_a_shift_nothing_is_to_be_gained_and_moments_lose_nothing(found):
    gains = {(row["strategy"], row["shift"]): row["gain"] for row in found}
    assert all(gains[name, "none"] < 1 for name in STRATEGIES if name != "source_only")
    assert all(abs(gains[name, "none"]) < 1 for name in ("coral", "mmd"))
    bases = {row["shift"]: row["baseline_mean"] for row in found if row["strategy"] == "coral"}
    assert bases["none"] > 99 > bases["rotated"] > bases["translated"]


def test_the_map_is_drawn(found, tmp_path):
    panels = ("noise", STUDY["NOISES"])
    STUDY["draw"](found, tmp_path / "map.svg", SHIFTS, STUDY["order"](found), "shift", panels)
    drawn = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert "domain_adversarial" in drawn
    assert "sub_clusters" in drawn
