"""Image files as examples, and what to say of those that do not decode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.domain import Examples
from transfergrid.data.images import SOUND, read_image, verdict, verdict_kind
from transfergrid.errors import BadInputError
from transfergrid.fingerprints import file_facts

NAMED = 3
"""How many broken files an error message names."""
NO_FILE = "a link to nothing"


class FileExamples(Examples):
    """Images that are decoded only when they are read."""

    def __init__(
        self,
        files: Sequence[Path],
        labels: NDArray[np.int64],
        groups: NDArray[np.str_] | None = None,
    ) -> None:
        """Keep the paths; labels and groups are (len(files),)."""
        self.files = files
        self.labels = labels
        self.groups = groups

    def read(self, indices: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Return a list of images (H, W, C), sizes and channels as the files have them."""
        return [read_image(self.files[int(i)]) for i in indices]


def broken_images(root: Path, names: Sequence[str], spelled: str, skip: bool) -> set[str]:
    """Return the images that do not decode; which ones do is remembered.

    Args:
        root: an absolute folder.
        names: paths relative to it.
        spelled: how errors call the data set.
        skip: whether there may be some.

    Raises:
        BadInputError: there are some, and they may not be skipped.
    """
    there = [name for name in names if (root / name).is_file()]
    verdicts = dict.fromkeys(names, NO_FILE) | file_facts(root, there, verdict_kind(), verdict)
    broken = [name for name in names if verdicts[name] != SOUND]
    if broken and not skip:
        first = ", ".join(f"{name} ({verdicts[name]})" for name in broken[:NAMED])
        found = f"{first}{', ...' if len(broken) > NAMED else ''}"
        count = f"{len(broken)} broken image{'s' if len(broken) > 1 else ''}"
        way_out = "target.skip_broken=true leaves them out"
        raise BadInputError(f"{spelled} has {count}: {found}; {way_out}")
    return set(broken)
