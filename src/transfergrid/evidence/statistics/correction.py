"""Correction of p values for the number of comparisons in a family."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfergrid.records.errors import check_known


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values (..., m), in their order, that control each row's family-wise error.

    NaN marks a missing test: it stays NaN and does not count in the family.
    """
    raw, order, tests = _sorted(p)
    stepped = raw * (tests - np.arange(raw.shape[-1]))
    return _in_order(np.maximum.accumulate(stepped, axis=-1), order)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values that control the false discovery rate (Benjamini and Hochberg 1995)."""
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
    """Return the correction with this name.

    Raises:
        BadInputError: no correction has this name.
    """
    check_known("correction", name, CORRECTIONS)
    return CORRECTIONS[name]


def _sorted(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the p values in ascending order (NaN last), the order, and the tests per row."""
    raw = np.asarray(p, dtype=np.float64)
    order = np.argsort(raw, axis=-1, kind="stable")
    tests = np.sum(~np.isnan(raw), axis=-1, keepdims=True)
    return np.take_along_axis(raw, order, -1), order, tests


def _in_order(sorted_values: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty_like(sorted_values)
    np.put_along_axis(found, order, np.minimum(sorted_values, 1.0), -1)
    return found
