"""p values corrected for how many comparisons a family makes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfergrid.records.errors import check_known


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values (m,) that hold the family-wise error (Holm 1979), in the given order."""
    raw = np.asarray(p, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    stepped = raw[order] * np.arange(len(raw), 0, -1)
    return _in_order(np.minimum(np.maximum.accumulate(stepped), 1.0), order)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values (m,) that hold the false discovery rate (Benjamini and Hochberg 1995)."""
    raw = np.asarray(p, dtype=np.float64)
    m = len(raw)
    order = np.argsort(raw, kind="stable")
    stepped = raw[order] * m / np.arange(1, m + 1)
    return _in_order(np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0), order)


def no_correction(p: ArrayLike) -> NDArray[np.float64]:
    """Return the p values (m,) as they are."""
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


def _in_order(sorted_values: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty_like(sorted_values)
    found[order] = sorted_values
    return found
