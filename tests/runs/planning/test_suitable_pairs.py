"""Which strategies suit a pair of source domain and target, and which may do harm there."""

import pytest

from composed import planned
from transfergrid.records.errors import BadInputError
from transfergrid.runs.planning import forewarnings, pairs
from transfergrid.runs.planning.plan import Option

SMALL = ["source.domain.per_class=4", "source.domain.test_per_class=2"]


def strategy(name, transfers="features", assumes=(), **needs):
    needs = {"source": "start", "domains": 1, "classes": "same", **needs}
    about = {"needs": needs, "baselines": {}, "transfers": transfers, "assumes": list(assumes)}
    return Option(name, {"_target_": f"b.{name}", "about": about})


def reason(source, target, **needs):
    return pairs.unsuitable(strategy("own", **needs), ("s", source), ("t", target), True)


USUAL, ALL = ("closed", "partial"), ("closed", "partial", "open")


@pytest.mark.parametrize(
    ("source", "target", "suited"),
    [
        ("abc", "abc", [USUAL, ALL, ("closed",)]),
        ("abc", "cab", [USUAL, ALL, ("closed",)]),
        ("abc", "ab", [USUAL, ALL, ("partial",), ("partial", "open")]),
        ("ab", "abc", [ALL, ("open",), ("partial", "open")]),
        ("abd", "abc", [ALL, ("partial", "open")]),
        ("abc", "def", []),
    ],
)
def test_a_strategy_is_for_pairs_whose_words_it_says(source, target, suited):
    every = [USUAL, ALL, ("closed",), ("partial",), ("open",), ("partial", "open")]
    assert [words for words in every if reason(source, target, pairs=words) is None] == suited


def test_closed_and_partial_ones_are_what_is_meant_where_nothing_is_said():
    assert reason("abc", "ab") is None
    assert reason("ab", "abc") is not None


def test_reasons_in_words():
    assert reason("abc", "abc", pairs=["partial"]) == (
        "own is for partial pairs, where the target lacks some of the source's classes, and s with "
        "t is closed: only=[...] of a domain keeps some of its classes"
    )
    assert reason("abc", "ab", pairs=["open"]) == (
        "own is for open pairs, where the target has classes that the source lacks, and s with t "
        "is partial: only=[...] of a domain keeps some of its classes"
    )
    assert reason("ab", "abc") == (
        "own needs the same classes in source and target, and s has 2 (a, b), t has 3 (a, b, c)"
    )


def test_numbers_are_the_same_or_not():
    own = strategy("own")
    assert pairs.unsuitable(own, ("s", ["y"]), ("t", ["y"]), False) is None
    assert pairs.unsuitable(own, ("s", ["x", "y"]), ("t", ["y"]), False) is not None


def plan(*overrides):
    return planned(*SMALL, "labels=0", *overrides)


def test_a_partial_pair_is_planned_with_its_baseline():
    made = plan("strategy=domain_adversarial", "target.only=[1,2,3]")
    assert {cell.names.strategy for cell in made.cells} == {"domain_adversarial", "source_only"}
    assert {cell.names.target for cell in made.cells} == {"digits(only=[1,2,3])"}


def test_an_open_pair_is_for_what_says_so():
    made = plan("strategy=source_only,shot", "source.domain.only=[1,2,3]")
    assert [cell.names.strategy for cell in made.cells] == ["source_only"]
    (skipped,) = made.skipped
    assert "shot needs the same classes in source and target" in skipped.reason


def test_a_wrong_name_is_told_before_anything_runs():
    with pytest.raises(BadInputError, match=r"unknown class in only '11'; did you mean 1\?"):
        plan("strategy=source_only", "target.only=[1,11]")


# Forewarnings ------------------------------------------------------------------------------------


def told(*overrides):
    return [line for line in forewarnings.lines(plan(*overrides).cells) if " with " in line]


def test_a_closed_pair_is_not_spoken_of():
    assert told("strategy=shot,coral,source_only") == []


def test_a_partial_pair_and_what_it_does_to_alignment_and_balance():
    (line,) = told("strategy=shot,coral,source_only", "target.only=[1,2,3,4,5]")
    assert line == (
        "glyph_digits(domain.per_class=4,domain.test_per_class=2) with digits(only=[1,2,3,4,5]): "
        "a partial pair, the target lacks 5 classes of the source; coral: bringing whole domains "
        "together moves target examples onto other classes; shot: pulling predictions towards as "
        "many of each class is wrong here, the target's shares are 0.50 from equal"
    )


def test_an_open_pair_is_spoken_of_although_nothing_is_in_danger():
    (line,) = told("strategy=source_only", "source.domain.only=[1,2,3]")
    assert line.endswith(": an open pair, the source lacks 7 classes of the target")


def test_shares_of_classes_that_differ(tmp_path):
    import numpy as np

    rng = np.random.default_rng(0)
    labels = np.repeat(["0", "1"], [90, 10])
    images = rng.integers(0, 256, (100, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=images, y=labels)
    (line,) = told(
        "strategy=shot,coral,source_only",
        "target=arrays",
        f"target.file={tmp_path / 'x.npz'}",
        "target.test_split=0.2",
        "source.domain.characters='01'",
    )
    assert "with x(test_split=0.2): label shift, the shares of classes are 0.40 apart; " in line
    assert "coral: bringing whole domains together" in line
    assert "shot: pulling predictions towards as many of each class is wrong here" in line


def test_what_is_made_against_it_takes_nothing_for_true():
    config = strategy("own", unlabelled=True).config
    assert pairs.assumed(config) == {"same_shares"}
    assert pairs.assumed(strategy("own", unlabelled=True, pairs=["partial"]).config) == set()
    assert pairs.assumed(strategy("own", "parameters", ["equal_shares"]).config) == {"equal_shares"}
    assert pairs.assumed(strategy("own").config) == set(), "it sees no target input"
