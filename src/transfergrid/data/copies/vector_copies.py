"""Exact copies among vectors: those of which every number is the same.

There are no near copies: how near two numbers are that mean the same is nobody's to say.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.copies.found import Copies, exact_copies
from transfergrid.data.examples import Examples
from transfergrid.data.vectors import raw_values


def find_copies(pool: Examples, test: Examples) -> Copies:
    """Return the copies between two sets of vectors, as they were given; others of other widths."""
    ours, theirs = raw_values(pool), raw_values(test)
    if not len(ours) or not len(theirs) or ours.shape[1] != theirs.shape[1]:
        return Copies.none(len(ours), len(theirs))
    return exact_copies(row_keys(ours), row_keys(theirs))


def row_keys(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return (n,) a hash of each vector, alike for 0.0 and -0.0, and for any missing number."""
    plain = np.where(np.isnan(values), np.nan, values) + 0.0
    whole = np.ascontiguousarray(plain, dtype="<f8")
    told = (blake2b(row.tobytes(), digest_size=8).digest() for row in whole)
    return np.array([int.from_bytes(key, "big") for key in told], dtype=np.uint64)
