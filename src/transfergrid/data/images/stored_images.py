"""Images that are stored in a table as the bytes of their files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.examples import DecodedExamples, Labels
from transfergrid.data.images.brightness import PLAIN, Depth, Scale
from transfergrid.data.images.decoding import decode, depth_of, may_be_deep

SMALL = 16 * 2**10
"""Files of up to this many bytes are kept in memory."""


@dataclass(frozen=True)
class Stored:
    """An image's place in a table of the datasets library, which reads from disk."""

    rows: Any
    place: int
    column: str

    def get(self) -> bytes | str:
        """Return the bytes of its file, or the file's path; empty if there is no image."""
        value = self.rows[self.place][self.column] or {}
        found: bytes | str = value.get("bytes") or value.get("path") or ""
        return found


class StoredImages(DecodedExamples):
    """Images from a table, decoded when they are read."""

    def __init__(
        self,
        stored: Sequence[bytes | str | Stored],
        labels: Labels,
        groups: NDArray[np.str_] | None,
        scale: Scale = PLAIN,
    ) -> None:
        """Keep bytes, paths or places; labels and groups are (len(stored),)."""
        self.stored, self.labels, self.groups = stored, labels, groups
        self.scale = scale

    def depths(self) -> list[Depth]:
        """Decode the images of more than 8 bits, and return their depths."""
        deep = [i for i in range(len(self.stored)) if may_be_deep(self._opened(i)[0])]
        found = [depth_of(*self._opened(i), self.scale) for i in deep]
        return [depth for depth in found if depth is not None]

    def image(self, place: int) -> NDArray[np.uint8]:
        """See `DecodedExamples.image`."""
        return decode(*self._opened(place), self.scale)

    def _opened(self, place: int) -> tuple[Path | io.BytesIO, str]:
        """Return an image's file or bytes, and its name in errors."""
        kept = self.stored[place]
        kept = kept.get() if isinstance(kept, Stored) else kept
        if isinstance(kept, str):
            return Path(kept), kept
        return io.BytesIO(kept), f"{len(kept)} bytes of example {place}"
