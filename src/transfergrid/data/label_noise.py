"""Labels of which a share says nothing: what a poisoned source has learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def noisy(
    labels: NDArray[np.int64], share: float, classes: int, draws: np.random.Generator
) -> NDArray[Any]:
    """Return labels (n,) of which a share is drawn anew, evenly over all classes.

    A label that is drawn anew may be what it was, so of `classes` equally frequent ones a share of
    `share * (1 - 1 / classes)` is wrong, and at a share of 1 labels know nothing of their inputs
    (symmetric noise, as Angluin & Laird 1988 have it).

    Args:
        labels: of classes, from 0.
        share: from 0 to 1; so much of them, rounded, is drawn anew.
        classes: how many there are.
        draws: decides which, and what they become.
    """
    found = labels.copy()
    chosen = draws.permutation(len(labels))[: round(share * len(labels))]
    found[chosen] = draws.integers(classes, size=len(chosen))
    return found
