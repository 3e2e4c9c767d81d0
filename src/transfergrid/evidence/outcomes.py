"""Which test items a cell got right, read as cheaply as they are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.arrays import Predictions

Read = Callable[[str], Predictions]
"""Gives a cell's per-example predictions by its id; raises `BadInputError` if there are none."""


class Packed(NamedTuple):
    """The items that a cell got right, a bit each."""

    bits: bytes
    n: int
    items: str
    """Stands for the test items: equal for cells that were tested on the same ones."""

    def unpacked(self) -> NDArray[np.uint8]:
        """Return 1 for each item (n,) that was right, else 0."""
        return np.unpackbits(np.frombuffer(self.bits, dtype=np.uint8), count=self.n)


def packed(said: Predictions) -> Packed:
    """Return in bits which items were right."""
    return Packed(np.packbits(said.correct()).tobytes(), len(said.labels), items_of(said))


def items_of(said: Predictions) -> str:
    """Return 16 hex digits that stand for the test items, by their classes in order."""
    labels = np.ascontiguousarray(said.labels, dtype=np.int64)
    return hashlib.sha256(labels.tobytes()).hexdigest()[:16]


class Outcomes:
    """Predictions by cell, of which the right and wrong ones may be known without opening them.

    Args:
        read: opens a cell's predictions.
        known: what an index holds of them.
    """

    def __init__(self, read: Read, known: Mapping[str, Packed] | None = None) -> None:
        self._read, self._known = read, known or {}

    def __call__(self, identity: str) -> Predictions:
        """Return a cell's predictions.

        Raises:
            BadInputError: they were not kept.
        """
        return self._read(identity)

    def right(self, identity: str) -> Packed:
        """Return which items a cell got right.

        Raises:
            BadInputError: its predictions were not kept.
        """
        known = self._known.get(identity)
        return packed(self._read(identity)) if known is None else known


def right(read: Read, identity: str) -> Packed:
    """Return which items a cell got right, opening its predictions only where that is needed.

    Raises:
        BadInputError: its predictions were not kept.
    """
    return read.right(identity) if isinstance(read, Outcomes) else packed(read(identity))
