"""Whole numbers are read as they are written, however large."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfergrid.records.files.whole import whole_number


@given(st.integers(-(10**40), 10**40))
def test_every_spelling_is_exact(number):
    for spelled in (number, str(number), f" {number}.00 ", f"{number}e0", f"{number}0e-1"):
        assert whole_number(spelled) == number


@pytest.mark.parametrize(
    "value",
    [
        *("", "x", "nan", "inf", "1.5", "0x10", "1e999999999", None, [1], 1.5),
        *(True, np.bool_(True), float("nan"), float("inf"), 2.0**53, np.float64(1e300)),
    ],
)
def test_what_is_no_whole_number_or_may_have_been_another_is_none(value):
    assert whole_number(value) is None


def test_numbers_of_other_libraries():
    assert whole_number(np.int64(2**53 + 1)) == 9007199254740993
    assert whole_number(np.uint64(2**64 - 1)) == 18446744073709551615
    assert whole_number(np.float32(3)) == 3
