"""What a reader must know is said in words, once, and nothing is said that does not hold."""

from dataclasses import replace

import pytest

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.notes import noted
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, Verdict

PLAIN = Verdict(
    source="glyphs",
    architecture="net",
    strategy="a",
    target="digits",
    labels=20,
    baseline="scratch",
    n=5,
    gain=4.0,
    low=2.0,
    high=6.0,
    p=0.01,
    p_corrected=0.01,
    verdict=Kind.POSITIVE,
    detectable=2.0,
    seeds_needed=None,
    scope="seeds and test items",
    cells=tuple("abcde"),
)
FAKE = replace(PLAIN, source="noise", kind=PLACEBO, gain=3.25)


def notes(verdict, *beside):
    return noted([verdict, *beside])[0].notes


def test_of_a_plain_verdict_there_is_nothing_to_say():
    assert notes(PLAIN) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n": 0}, "nothing to compare: no seed in which arm and baseline have a score"),
        ({"unpaired": 2}, "2 of 7 seeds without a baseline's score"),
        ({"failed": 1}, "1 run failed and left out"),
        ({"failed": 3}, "3 runs failed and left out"),
        ({"collapsed": 2}, "2 of 5 runs collapsed: one class predicted"),
        ({"collapsed": 2, "unpaired": 1}, "2 of 6 runs collapsed: one class predicted"),
        ({"underfit": 1}, "1 of 5 runs underfit"),
        (
            {"fragile": True, "underfit": 1},
            "fragile: another verdict without collapsed and underfit runs",
        ),
        (
            {"fragile": True, "without_flagged": "undecided"},
            "fragile: undecided without collapsed and underfit runs of others in its family",
        ),
        ({"beyond_margin": True, "margin": 2.5}, "beyond the margin of 2.5"),
        ({"weak_baseline": True}, "the baseline scores below logistic_regression"),
        (
            {"contaminated_by": ("imagenet", "x")},
            "target lies inside what the source was trained on (imagenet, x): "
            "no evidence of transfer to new data",
        ),
        ({"scope": "this test set"}, "on this test set: its luck is not covered"),
        ({"stale": 1}, "1 run stale: the strategy's code has changed since"),
        ({"one_checkpoint": True}, "one checkpoint of the source"),
    ],
)
def test_each_thing_is_said_where_it_holds(changes, said):
    assert said in notes(replace(PLAIN, **changes))


def test_what_was_noted_before_stays_in_front():
    first = "one seed: it speaks of these two models only"
    assert notes(replace(PLAIN, notes=(first,), failed=1))[0] == first


@pytest.mark.parametrize("kind", [Kind.UNDECIDED, Kind.EQUIVALENT])
def test_beyond_the_margin_is_said_of_what_is_decided_alone(kind):
    assert notes(replace(PLAIN, beyond_margin=True, verdict=kind)) == ()


@pytest.mark.parametrize("kind", [PLACEBO, CONTROL])
def test_one_checkpoint_is_said_of_sources_with_something_to_teach(kind):
    assert notes(replace(PLAIN, one_checkpoint=True, kind=kind)) == ()


def test_a_gain_that_a_placebo_shares_is_said_of_the_same_arm_alone():
    said = "noise gains +3.2 too: not all is knowledge"
    assert notes(PLAIN, FAKE) == (said,)
    for changes in (
        {"strategy": "b"},
        {"labels": 10},
        {"architecture": "other"},
        {"target_part": "ff"},
        {"baseline": "source_only"},
        {"training": "longer"},
        {"verdict": Kind.UNDECIDED},
        {"verdict": Kind.NEGATIVE},
    ):
        assert notes(PLAIN, replace(FAKE, **changes)) == (), changes
    for other in (Kind.NEGATIVE, Kind.UNDECIDED, Kind.EQUIVALENT):
        assert notes(replace(PLAIN, verdict=other), FAKE) == ()
    assert notes(FAKE, FAKE) == ()


def test_several_placebos_are_all_named():
    other = replace(FAKE, source="permuted", gain=1.0)
    assert len(notes(PLAIN, FAKE, other)) == 2
