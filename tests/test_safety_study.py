"""The study of poisoned sources, small: a planted harm is found, and brackets are what they say."""

import runpy
from pathlib import Path

import pytest

from composed import planned
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

ROOT = Path(__file__).parents[1]
STUDY = runpy.run_path(str(ROOT / "experiments" / "safety" / "safety.py"))
QUICK = ("source.training.steps=150", "training.steps=60", "target=digits", "labels=5")
HARM, SAFE, OPEN = "negative", "harm ruled out", "undecided"


@pytest.mark.parametrize(
    ("verdicts", "turns", "safe"),
    [
        ([SAFE, SAFE, OPEN, HARM, HARM], (0.2, 0.3), 0.1),
        ([OPEN, SAFE, OPEN, OPEN, OPEN], (0.4, None), None),
        ([HARM, OPEN, HARM, HARM, HARM], (None, 0.0), None),
        (["positive", "equivalent", HARM, OPEN, HARM], (0.1, 0.2), 0.1),
    ],
)
def test_a_bracket_is_of_the_first_proven_harm(verdicts, turns, safe):
    by_noise = {share / 10: verdict for share, verdict in enumerate(verdicts)}
    assert STUDY["bracket"](by_noise) == turns
    assert STUDY["safe_until"](by_noise) == safe


def test_sources_are_told_by_their_noise():
    noise_of = STUDY["noise_of"]
    assert noise_of("glyph_digits") == 0.0
    assert noise_of("glyph_digits(label_noise=0.3)") == 0.3
    assert noise_of("placebo(how=noise)") is None


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the rows of a good source and a planted bad one, by a strategy that stands still."""
    place = tmp_path_factory.mktemp("safety") / "results"
    ledger, machine = Ledger(place), Machine("cpu", threads=1, diagnostics="none")
    words = ("source=glyph_digits,placebo", "strategy=feature_extraction", "seed=range(5)")
    for cell in planned(*words, *QUICK).cells:
        run_cell(cell, ledger, machine)
    return STUDY["rows"](place)


def test_an_arm_that_is_planted_to_hurt_is_found_and_a_good_one_is_not_blamed(found):
    verdicts = {row["source"].partition("(")[0]: row["verdict"] for row in found}
    assert verdicts["placebo"] == HARM
    assert verdicts["glyph_digits"] != HARM


def test_the_map_is_drawn(found, tmp_path):
    STUDY["figure"](found, tmp_path / "map.svg")
    assert "feature_extraction" in (tmp_path / "map.svg").read_text(encoding="utf-8")


def test_verdicts_and_runs_that_lost_are_counted():
    gains = {HARM: [-2.0, -3.0], SAFE: [1.0, 2.0], OPEN: [-1.0, 1.0]}
    rows = [{"verdict": verdict, "gains": gains[verdict]} for verdict in (HARM, OPEN, SAFE, OPEN)]
    assert STUDY["counts"](rows) == [
        "of 4 comparisons: undecided 2 (50 %), negative 1 (25 %), harm ruled out 1 (25 %)",
        "of 8 single runs 4 (50 %) lie below scratch",
    ]
