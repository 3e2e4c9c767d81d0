"""Corrections give published values and keep the order that they are given."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transfergrid.evidence.statistics.correction import (
    benjamini_hochberg,
    correction,
    holm,
    no_correction,
)
from transfergrid.records.errors import BadInputError

RAW = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205]
"""Eight p values whose corrected ones were computed elsewhere."""
HOLM = [0.008, 0.056, 0.234, 0.234, 0.234, 0.234, 0.234, 0.234]
BH = [0.008, 0.032, 0.0672, 0.0672, 0.0672, 0.08, 0.0846, 0.205]
SOME = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_holm_and_bh_give_the_values_computed_elsewhere():
    assert holm(RAW) == pytest.approx(HOLM, abs=5e-5)
    assert benjamini_hochberg(RAW) == pytest.approx(BH, abs=5e-5)


@given(st.permutations(range(8)))
def test_values_stay_where_they_were(order):
    assert holm(np.array(RAW)[order]) == pytest.approx(np.array(HOLM)[order], abs=5e-5)


@given(SOME)
def test_bh_agrees_with_scipy(p):
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


@given(SOME)
def test_from_raw_over_bh_and_holm_to_bonferroni_p_values_only_grow(p):
    steps = [np.array(p), benjamini_hochberg(p), holm(p), np.minimum(len(p) * np.array(p), 1)]
    for smaller, larger in pairwise(steps):
        assert (smaller <= larger + 1e-12).all()
    assert (no_correction(p) == p).all()


def test_a_misspelt_correction_is_told():
    with pytest.raises(BadInputError, match="holm"):
        correction("hom")


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_rows_are_corrected_apart_and_what_was_not_tested_is_no_part_of_them(correct):
    """By hand: of two tests the smaller p counts twice, the larger once."""
    found = correct([[0.04, np.nan, 0.01], [0.01, 0.5, 0.02]])
    assert found[0] == pytest.approx([0.04, np.nan, 0.02], nan_ok=True)
    assert found[1] == pytest.approx(correct([0.01, 0.5, 0.02]))
