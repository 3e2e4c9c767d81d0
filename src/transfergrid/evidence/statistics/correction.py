"""p values corrected for how many comparisons a family makes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfergrid.records.errors import check_known


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values (..., m) that hold each row's family-wise error (Holm 1979), in their order.

    NaN, where there is no test, stay so and are no part of the family.
    """
    raw, order, tests = _sorted(p)
    stepped = raw * (tests - np.arange(raw.shape[-1]))
    return _in_order(np.maximum.accumulate(stepped, axis=-1), order)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values as `holm`, of the false discovery rate (Benjamini and Hochberg 1995)."""
    raw, order, tests = _sorted(p)
    stepped = raw * tests / np.arange(1, raw.shape[-1] + 1)
    stepped = np.fmin.accumulate(stepped[..., ::-1], axis=-1)[..., ::-1]
    return _in_order(np.where(np.isnan(raw), np.nan, stepped), order)


def no_correction(p: ArrayLike) -> NDArray[np.float64]:
    """Return the p values as they are."""
    return np.asarray(p, dtype=np.float64).copy()


Correction = Callable[[ArrayLike], NDArray[np.float64]]
CORRECTIONS: dict[str, Correction] = {
    "holm": holm,
    "bh": benjamini_hochberg,
    "none": no_correction,
}


def correction(name: str) -> Correction:
    """Return a correction by its name.

    Raises:
        BadInputError: there is none of this name.
    """
    check_known("correction", name, CORRECTIONS)
    return CORRECTIONS[name]


def _sorted(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return p values in ascending order, NaN last, that order, and how many tests a row has."""
    raw = np.asarray(p, dtype=np.float64)
    order = np.argsort(raw, axis=-1, kind="stable")
    tests = np.sum(~np.isnan(raw), axis=-1, keepdims=True)
    return np.take_along_axis(raw, order, -1), order, tests


def _in_order(sorted_values: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty_like(sorted_values)
    np.put_along_axis(found, order, np.minimum(sorted_values, 1.0), -1)
    return found
