"""The examples of one split: in an array, decoded when read, or a subset of another split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.inputs import Raw

Labels: TypeAlias = NDArray[Any]
"""Class indices (n,) int64; or numbers, float32, (n,) or, with several outputs, (n, outputs)."""

PART_BYTES = 16 * 2**20
"""Bytes of decoded pixels held in memory at once; as float32 they take four times as much."""


class Examples(ABC):
    """The examples of one split, in a fixed order."""

    labels: Labels
    """(n,) indices into the domain's classes, or numbers (n,) or (n, outputs)."""
    groups: NDArray[np.str_] | None = None
    """(n,) the group of each example (patient, hospital, ...); None without groups."""
    clusters: NDArray[np.str_] | None = None
    """(n,) the unit whose examples depend on each other (patient, author, film), if declared.

    Where examples are declared independent, each is a cluster of its own."""

    of_entries: bool = False
    """Whether the examples are entries of a matrix, read as the numbers of two names."""
    are_decoded: bool = False
    """Whether reading means decoding, which is expensive enough to cache."""

    @property
    def kept_whole(self) -> NDArray[np.str_] | None:
        """Return the unit of each example, (n,), that no split may divide.

        These are the clusters, or the groups where no clusters are declared.
        """
        return self.groups if self.clusters is None else self.clusters

    @property
    def characters(self) -> NDArray[np.int64] | None:
        """Characters of each text, (n,), of a pair both together; None if inputs are no texts."""
        return None

    def __len__(self) -> int:
        """Return how many examples there are."""
        return len(self.labels)

    @abstractmethod
    def read(self, indices: NDArray[np.int64]) -> Raw:
        """Return these examples and no others, in this order."""

    def in_parts(self, indices: NDArray[np.int64]) -> Iterator[Raw]:
        """Yield these examples in order, in parts small enough to hold in memory.

        Texts come in one part, because prepared texts are padded to the longest.
        """
        yield self.read(indices)


class DecodedExamples(Examples):
    """Images that are decoded when they are read; a decoded photo may take 36 MB."""

    are_decoded = True

    @abstractmethod
    def image(self, place: int) -> NDArray[np.uint8]:
        """Return one image (H, W, C) in the size and with the channels of its file."""

    def read(self, indices: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Return a list of images (H, W, C)."""
        return [self.image(int(i)) for i in indices]

    def in_parts(self, indices: NDArray[np.int64]) -> Iterator[list[NDArray[np.uint8]]]:
        """Yield parts of about `PART_BYTES`, each with at least one image."""
        part: list[NDArray[np.uint8]] = []
        held = 0
        for i in indices:
            part.append(self.image(int(i)))
            held += part[-1].nbytes
            if held >= PART_BYTES:
                yield part
                part, held = [], 0
        if part:
            yield part


class Subset(Examples):
    """Some examples of a split, in the order of the given places."""

    def __init__(
        self, whole: Examples, places: NDArray[np.int64], labels: Labels | None = None
    ) -> None:
        """Keep the examples at these places (n,), with other labels (n,) where given."""
        self.whole, self.places, self.are_decoded = whole, places, whole.are_decoded
        self.of_entries = whole.of_entries
        self.labels = whole.labels[places] if labels is None else labels
        self.groups = None if whole.groups is None else whole.groups[places]
        self.clusters = None if whole.clusters is None else whole.clusters[places]

    @property
    def characters(self) -> NDArray[np.int64] | None:
        """See `Examples.characters`."""
        counts = self.whole.characters
        return None if counts is None else counts[self.places]

    def read(self, indices: NDArray[np.int64]) -> Raw:
        """See `Examples.read`."""
        return self.whole.read(self.places[indices])

    def in_parts(self, indices: NDArray[np.int64]) -> Iterator[Raw]:
        """See `Examples.in_parts`."""
        yield from self.whole.in_parts(self.places[indices])


class Reading(Sequence[Any]):
    """A sequence of chosen examples; each iteration reads them again, one part at a time."""

    def __init__(self, examples: Examples, indices: NDArray[np.int64]) -> None:
        """Keep the examples and the indices to read; read nothing yet."""
        self.examples, self.indices = examples, indices

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.indices)

    def __getitem__(self, place: Any) -> Any:
        """Return one example, or a list of them for a slice."""
        if isinstance(place, slice):
            return list(self.examples.read(self.indices[place]))
        return self.examples.read(self.indices[[place]])[0]

    def __iter__(self) -> Iterator[Any]:
        """Yield the examples in order."""
        for part in self.examples.in_parts(self.indices):
            yield from part


class ArrayExamples(Examples):
    """Images that lie in memory as one array."""

    def __init__(self, images: NDArray[np.uint8], labels: Labels) -> None:
        """Keep images (n, H, W, C) in 0 to 255 and labels (n, ...) as they are."""
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images but {len(labels)} labels")
        self.images = images
        self.labels = labels

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images (len(indices), H, W, C)."""
        return self.images[indices]

    def in_parts(self, indices: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        """Yield parts of at most `PART_BYTES`, each with at least one image."""
        at_once = max(1, PART_BYTES // max(1, self.images[:1].nbytes))
        for start in range(0, len(indices), at_once):
            yield self.read(indices[start : start + at_once])
