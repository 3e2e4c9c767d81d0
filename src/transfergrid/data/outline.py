"""How many examples of each class a domain has, known before anything is decoded or drawn.

Of numbers, which have no classes, all examples are counted together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outline:
    """How many examples of each class there are.

    Attributes:
        classes: their names in label order; none of numbers.
        pool: examples of each class to draw labels from; of numbers one count of all.
        test: examples of each class to test on, likewise.
    """

    classes: tuple[str, ...]
    pool: tuple[int, ...]
    test: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def outlined(classes: Sequence[str], pool: NDArray[Any], test: NDArray[Any]) -> Outline:
    """Return the outline of a domain with these labels (n, ...)."""
    if not classes:
        return Outline((), (len(pool),), (len(test),))
    counts = [np.bincount(labels, minlength=len(classes)).tolist() for labels in (pool, test)]
    return Outline(tuple(classes), tuple(counts[0]), tuple(counts[1]))


def outline_of(kept: Mapping[str, Any]) -> Outline:
    """Return an outline that was kept as plain values."""
    return Outline(
        tuple(map(str, kept["classes"])),
        tuple(map(int, kept["pool"])),
        tuple(map(int, kept["test"])),
    )
