"""Images that lie in memory as the bytes of their files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.domain import Examples
from transfergrid.data.images import decode


class StoredImages(Examples):
    """Images as bytes in memory, or in files, that are decoded when they are read."""

    def __init__(
        self,
        stored: Sequence[bytes | str],
        labels: NDArray[np.int64],
        groups: NDArray[np.str_] | None,
    ) -> None:
        """Keep bytes or paths; labels and groups are (len(stored),)."""
        self.stored, self.labels, self.groups = stored, labels, groups

    def read(self, indices: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Return a list of images (H, W, C)."""
        return [self._image(int(i)) for i in indices]

    def _image(self, place: int) -> NDArray[np.uint8]:
        kept = self.stored[place]
        if isinstance(kept, str):
            return decode(Path(kept), kept)
        return decode(io.BytesIO(kept), f"{len(kept)} bytes of example {place}")
