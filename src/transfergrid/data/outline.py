"""How many examples of each class a domain has, known before any example is decoded or drawn.

If labels are numbers, there are no classes, and all examples are counted together.
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
        classes: names in label order; empty if labels are numbers.
        pool: number of pool examples of each class; one total if labels are numbers.
        test: number of test examples, likewise.
    """

    classes: tuple[str, ...]
    pool: tuple[int, ...]
    test: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the outline as plain JSON values."""
        return asdict(self)


def outlined(classes: Sequence[str], pool: NDArray[Any], test: NDArray[Any]) -> Outline:
    """Return the outline of a domain with these classes and labels (n, ...)."""
    if not classes:
        return Outline((), (len(pool),), (len(test),))
    counts = [np.bincount(labels, minlength=len(classes)).tolist() for labels in (pool, test)]
    return Outline(tuple(classes), tuple(counts[0]), tuple(counts[1]))


def outline_of(kept: Mapping[str, Any]) -> Outline:
    """Return the outline from the output of `Outline.as_dict`."""
    return Outline(
        tuple(map(str, kept["classes"])),
        tuple(map(int, kept["pool"])),
        tuple(map(int, kept["test"])),
    )
