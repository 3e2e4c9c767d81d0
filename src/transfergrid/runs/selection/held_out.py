"""Which source examples are held out from training, for rules that choose by them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.seeds import generator

EVERY = 5
"""One in this many source examples of each class is held out."""


def held_out(labels: NDArray[Any], seed: int, domain: int = 0) -> NDArray[np.bool_]:
    """Return which source examples (n,) are held out from training: a fifth of each class.

    Args:
        labels: class indices, (n,).
        seed: the seed block.
        domain: number of the source domain.
    """
    held = np.zeros(len(labels), dtype=bool)
    for k in np.unique(labels):
        rows = np.flatnonzero(labels == k)
        order = generator(seed, "selection", "source", domain, int(k)).permutation(len(rows))
        held[rows[order[: len(rows) // EVERY]]] = True
    return held
