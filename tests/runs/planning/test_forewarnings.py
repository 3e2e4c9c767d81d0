"""What would spoil a grid is said before its cells run."""

from dataclasses import replace

import numpy as np
import pytest

from composed import planned
from transfergrid.data.arrays import Arrays
from transfergrid.data.digits import Digits
from transfergrid.data.glyphs import Glyphs
from transfergrid.data.noise import Noise
from transfergrid.data.outline import Outline
from transfergrid.runs.planning import forewarnings
from transfergrid.runs.planning.forewarnings import of_amounts, of_budgets, of_outline

OUTLINE = Outline(("a", "b", "c"), (99, 500, 600), (5, 5, 5))


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (99, []),
        (100, ["labels=100 is more than some classes have: 'a' has 99"]),
        (600, ["labels=600 is more than some classes have: 'a' has 99, 'b' has 500"]),
        (
            601,
            [
                "labels=601 is more than any class has (99 to 600): it gives all that there are, "
                "as labels=all does"
            ],
        ),
    ],
)
def test_budgets_beyond_what_classes_have(budget, told):
    assert list(of_budgets(OUTLINE, [budget], "balanced")) == told


def test_natural_sampling_asks_the_pool_as_a_whole():
    assert list(of_budgets(OUTLINE, [399], "natural")) == []
    assert list(of_budgets(OUTLINE, [400], "natural")) == [
        "labels=400 asks for 1,200 labels, and the pool has 1,199: all"
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"pool": (0, 5, 5), "test": (0, 5, 5)}, "class 'a' is in its list of classes, and no"),
        ({"test": (0, 5, 5)}, "class 'a' is in the pool and not in test"),
        ({"test": (0, 0, 5)}, "2 classes ('a', 'b') are in the pool and not in test"),
        ({"test": (0, 0, 5)}, "all test examples are of class 'c'"),
        ({"classes": ("a", "A", "b")}, "classes 'A' and 'a' differ only"),
    ],
)
def test_classes_that_cannot_be_learned_or_tested(changes, told):
    found = list(of_outline(replace(OUTLINE, **changes)))
    assert found == [] if told is None else any(line.startswith(told) for line in found)


def test_each_target_and_budget_is_told_once():
    plan = planned("labels=20,500", "strategy=scratch,full_finetuning", "seed=0,1")
    assert forewarnings.lines(plan.cells) == [
        "digits: labels=500 is more than any class has (97 to 102): it gives all that there are, "
        "as labels=all does"
    ]


def test_a_budget_that_no_cell_uses_is_not_spoken_of():
    plan = planned("labels=500", "strategy=source_only", "target@source.domain=glyph_digits")
    assert forewarnings.lines(plan.cells) == []


@pytest.mark.parametrize(
    "domain",
    [
        Digits(),
        Glyphs(characters="ab", per_class=3, test_per_class=2, size=8),
        Noise(n_classes=3, per_class=2, test_per_class=1, size=4),
    ],
    ids=lambda domain: type(domain).__name__,
)
def test_outlines_that_read_nothing_count_what_is_loaded(domain):
    loaded, told = domain.load(), domain.outline()
    for part, counts in ((loaded.pool, told.pool), (loaded.test, told.test)):
        assert counts == tuple(np.bincount(part.labels, minlength=len(domain.classes)))
    assert told.classes == domain.classes


@pytest.mark.parametrize("share", [None, 0.25])
def test_an_archives_outline_counts_what_is_loaded(tmp_path, monkeypatch, share):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    labels = np.arange(40) % 8 // 3
    content = {"x": images, "y": labels}
    if share is None:
        content = {"x_train": images, "y_train": labels, "x_val": images, "y_val": labels}
        content |= {"x_test": images[:8], "y_test": labels[:8]}
    np.savez(tmp_path / "a.npz", **content)
    domain = Arrays(str(tmp_path / "a.npz"), test_split=share)
    loaded, told = domain.load(), domain.outline()
    assert told.pool == tuple(np.bincount(loaded.pool.labels))
    assert told.test == tuple(np.bincount(loaded.test.labels))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (range(20, 60), "its 40 classes are whole numbers, 20 to 59: if they are amounts, "),
        (range(-6, 9), "its 15 classes are whole numbers, -6 to 8: if they are amounts, "),
        (range(0, 600, 50), "its 12 classes are whole numbers, 0 to 550: if they are amounts, "),
        (range(100), None),
        (range(1, 103), None),
        (range(3, 10), None),
        ([*range(20, 60), "x"], None),
    ],
)
def test_many_whole_numbers_may_be_amounts(names, told):
    outline = Outline(tuple(map(str, names)), (5,) * len(names), (5,) * len(names))
    found = list(of_amounts(outline))
    assert found == (
        [f"{told}target.metric=mse, mae, rmse or r2 learns them as such"] if told else []
    )
