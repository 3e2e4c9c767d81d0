"""A place in a range is a share of the way through it, or through its logarithm."""

import pytest

from transfergrid.records.space import Range


def test_a_share_of_the_way_is_of_the_logarithm_or_of_the_range():
    assert Range(0.01, 100.0).at(0.5) == pytest.approx(1.0)
    assert Range(0.01, 100.0).at(0.75) == pytest.approx(10.0)
    assert Range(0.2, 0.6, log=False).at(0.25) == pytest.approx(0.3)


@pytest.mark.parametrize("told", [Range(0.01, 30.0), Range(0.1, 0.99, log=False), Range(3.0, 3.0)])
def test_the_ends_are_met_and_never_passed(told):
    assert (told.at(0.0), told.at(1.0)) == (told.low, told.high)
    assert told.low <= told.at(1 - 1e-16) <= told.high


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_stay_whole_and_reach_both_ends(log):
    told = Range(1, 4, log=log, default=2)
    found = [told.at(share / 1000) for share in range(1001)]
    assert all(type(value) is int for value in found)
    assert found == sorted(found)
    assert set(found) == {1, 2, 3, 4}


def test_whole_numbers_are_equally_likely():
    told = Range(1, 4, log=False, default=2)
    assert [told.at(share) for share in (0.24, 0.26, 0.49, 0.51, 0.74, 0.76)] == [1, 2, 2, 3, 3, 4]


def test_a_range_with_one_fraction_is_of_fractions():
    assert isinstance(Range(1, 4, log=False, default=1.0).at(1.0), float)
