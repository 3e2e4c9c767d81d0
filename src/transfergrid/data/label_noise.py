"""Labels of which a share is random: the training labels of a poisoned source."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def noisy(
    labels: NDArray[np.int64], share: float, classes: int, draws: np.random.Generator
) -> NDArray[Any]:
    """Return labels (n,) of which a share is redrawn uniformly over all classes.

    A redrawn label may equal the old one, so on average a share of `share * (1 - 1 / classes)` is
    wrong; at a share of 1 labels are independent of their inputs (symmetric noise, as in Angluin &
    Laird 1988).

    Args:
        labels: class indices.
        share: from 0 to 1; this share of the labels, rounded to whole labels, is redrawn.
        classes: the number of classes.
        draws: chooses the labels and draws the new ones.
    """
    found = labels.copy()
    chosen = draws.permutation(len(labels))[: round(share * len(labels))]
    found[chosen] = draws.integers(classes, size=len(chosen))
    return found
