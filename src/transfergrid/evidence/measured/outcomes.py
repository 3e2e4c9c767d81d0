"""Which test items a cell got right, read without opening its predictions where possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.files.arrays import Packed, Predictions, packed

Read = Callable[[str], Predictions]
"""Returns a cell's per-example predictions by its id; raises `BadInputError` if there are none."""


class Outcomes:
    """The predictions of cells; which items were right may be known without opening them.

    Args:
        read: returns a cell's predictions.
        known: by cell id, the packed outcomes from the index.
    """

    def __init__(self, read: Read, known: Mapping[str, Packed] | None = None) -> None:
        self._read, self._known = read, known or {}
        self._clusters: dict[str, NDArray[np.int32] | None] = {"": None}
        self._labels: dict[str, NDArray[Any]] = {}

    def __call__(self, identity: str) -> Predictions:
        """Return a cell's predictions.

        Raises:
            BadInputError: the predictions were not kept.
        """
        return self._read(identity)

    def under(self, names: Mapping[str, str]) -> Outcomes:
        """Return the same outcomes with aliases for cells: `names` maps each new name to a cell."""
        again = {new: self._known[cell] for new, cell in names.items() if cell in self._known}
        return Outcomes(lambda name: self._read(names.get(name, name)), {**self._known, **again})

    def right(self, identity: str) -> Packed:
        """Return which items a cell got right.

        Raises:
            BadInputError: its predictions were not kept.
        """
        known = self._known.get(identity)
        return packed(self._read(identity)) if known is None else known

    def rights(self, cells: Sequence[str]) -> list[Packed]:
        """Return `right` of several cells; fast, as dozens of cells of each arm are asked for."""
        found = [*map(self._known.get, cells)]
        return [one or self.right(cell) for one, cell in zip(found, cells, strict=True)]

    def clusters(self, identity: str) -> NDArray[np.int32] | None:
        """Return `clusters` of a cell; reads one cell's predictions for all with the same items."""
        name = self.right(identity).clusters
        if name not in self._clusters:
            self._clusters[name] = self._read(identity).dependent()
        return self._clusters[name]

    def labels(self, identity: str) -> NDArray[Any]:
        """Return `labels` of a cell; opens one cell's predictions for all that share its items."""
        name = self.right(identity).items
        if name not in self._labels:
            self._labels[name] = self._read(identity).labels
        return self._labels[name]


def right(read: Read, identity: str) -> Packed:
    """Return which items a cell got right, opening its predictions only if necessary.

    Raises:
        BadInputError: its predictions were not kept.
    """
    return read.right(identity) if isinstance(read, Outcomes) else packed(read(identity))


def rights(read: Read, cells: Sequence[str]) -> list[Packed]:
    """Return `right` of several cells."""
    if isinstance(read, Outcomes):
        return read.rights(cells)
    return [packed(read(identity)) for identity in cells]


def clusters(read: Read, identity: str) -> NDArray[np.int32] | None:
    """Return the cluster (n,) of each test item of a cell; None if the items are independent.

    Raises:
        BadInputError: its predictions were not kept.
    """
    if isinstance(read, Outcomes):
        return read.clusters(identity)
    return read(identity).dependent()


def labels(read: Read, identity: str) -> NDArray[Any]:
    """Return the true class (n,) of each test item of a cell.

    Raises:
        BadInputError: its predictions were not kept.
    """
    return read.labels(identity) if isinstance(read, Outcomes) else read(identity).labels


def shared_items(cells: Sequence[Packed]) -> bool:
    """Return whether the cells were tested on the same items, in the same clusters."""
    items, clusters = {cell.items for cell in cells}, {cell.clusters for cell in cells}
    return len(items) <= 1 and len(clusters) <= 1
