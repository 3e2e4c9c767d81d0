"""Choosing an arm by the runs that score it, and what it is worth."""

import pytest

from transfergrid.evidence.chosen.choosing import Candidate, leave_one_out, simultaneous
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import Verdict

NAMES = {
    **{"source": "s", "architecture": "a", "strategy": "f", "target": "t", "labels": 20},
    "baseline": "scratch",
}
REST = {
    **{"low": 1.0, "high": 5.0, "p": 0.04, "p_corrected": 0.04},
    **{"detectable": None, "seeds_needed": None},
}


def best(gain, se=1.0, df=4.0):
    found = {**NAMES, **REST, "n": 5, "verdict": Kind.POSITIVE}
    return Verdict(gain=gain, se=se, df=df, **found)


def test_the_interval_of_the_best_of_five_is_simultaneous():
    golden = (-1.604094871349992, 7.604094871349992)  # of 3.0 with an error of 1 and four df
    assert simultaneous(best(3.0), 5) == pytest.approx(golden)
    assert simultaneous(best(3.0, se=None, df=None), 5) == (None, None)
    assert simultaneous(best(None), 5) == (None, None)


def test_one_block_is_left_out_by_hand():
    a = Candidate("a", {0: 100.0, 1: 80.0, 2: 80.0}, {0: 1.0, 1: 3.0, 2: 5.0})
    b = Candidate("b", {0: 70.0, 1: 90.0, 2: 80.0}, {0: 2.0, 1: 4.0, 2: 6.0})
    # a: left out 0 (80+80)/2 = 80, 1: (100+80)/2 = 90, 2: (100+80)/2 = 90
    # b: left out 0 (90+80)/2 = 85, 1: (70+80)/2 = 75, 2: (70+90)/2 = 80; so b, a and a
    found = leave_one_out([a, b])
    assert found.gain == pytest.approx((2.0 + 3.0 + 5.0) / 3)
    assert (found.blocks, found.chosen) == (3, (("a", 2), ("b", 1)))


def test_only_shared_blocks_count_and_one_is_not_enough():
    a = Candidate("a", {0: 1.0, 1: 1.0, 2: 1.0}, {0: 1.0, 1: 2.0, 2: 3.0})
    b = Candidate("b", {1: 0.0, 2: 0.0, 3: 9.0}, {1: 5.0, 2: 5.0, 3: 9.0})
    assert leave_one_out([a, b]).gain == pytest.approx(2.5)
    assert leave_one_out([a, Candidate("c", {2: 5.0}, {2: 5.0})]) is None
    assert leave_one_out([]) is None


def test_the_first_of_equals_is_chosen():
    same = {0: 1.0, 1: 1.0}
    nothing = Candidate("scratch", same, {0: 0.0, 1: 0.0})
    assert leave_one_out([nothing, Candidate("a", same, {0: 9.0, 1: 9.0})]).gain == 0
