"""The study of tasks learned at once, small: its matrix says of each pair what its cells say."""

import runpy
from pathlib import Path

import pytest

from composed import planned
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

ROOT = Path(__file__).parents[1]
STUDY = runpy.run_path(str(ROOT / "experiments" / "affinity" / "affinity.py"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("beside digits, 5", ("digits", "5")),
        ("beside moons(shift=rotated), all", ("moons(shift=rotated)", "all")),
        ("trained_here(domain=glyph_letters)", ("glyph_letters", "all")),
        ("trained_here(domain=glyph_letters,training.steps=50)", ("glyph_letters", "all")),
        ("glyph_digits", ("glyph_digits", "all")),
    ],
)
def test_what_a_task_is_learned_beside_is_told_by_the_sources_name(source, expected):
    assert STUDY["beside_of"](source) == expected


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the rows of two tasks of vectors, each beside each, two seeds."""
    place = tmp_path_factory.mktemp("affinity") / "results"
    ledger, machine = Ledger(place), Machine("cpu", threads=1, diagnostics="none")
    words = ["source=moons", "source.domain.seed=0", "training=vectors", "training.steps=100"]
    words += ["source.domain.shift=none,rotated", "target=moons", "target.shift=none,rotated"]
    words += ["strategy=multitask", "labels=5,all", "seed=range(2)"]
    for cell in planned(*words).cells:
        run_cell(cell, ledger, machine)
    return STUDY["rows"](place)


def test_every_pair_has_the_gain_of_both_tasks(found):
    targets = {(r["task"], r["beside"]) for r in found if r["over"] != "alone"}
    sources = {(r["task"], r["beside"]) for r in found if r["over"] == "alone"}
    tasks = {"moons(shift=none)", "moons(shift=rotated)"}
    assert sources == {(one, other) for one in tasks for other in tasks}
    assert len(targets) == 4
    assert len(found) == 16, "each pair with two label budgets of the target"
    assert {row["n"] for row in found} == {2}


def test_a_task_of_a_source_that_is_hard_to_fit_beside_the_target_is_told(found):
    """With all labels both tasks are learned alike well, whichever of them is called the source."""
    for row in found:
        if row["labels"] == "all":
            assert row["baseline_mean"] > 90
            assert row["mean"] == pytest.approx(row["baseline_mean"] + row["gain"])


def test_the_matrix_is_drawn(found, tmp_path):
    STUDY["draw_matrix"](found, tmp_path / "matrix.svg")
    drawn = (tmp_path / "matrix.svg").read_text(encoding="utf-8")
    assert "rotated" in drawn
    assert "beside" in drawn
