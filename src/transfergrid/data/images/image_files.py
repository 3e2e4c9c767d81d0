"""Image files as examples, and the check that they decode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.examples import DecodedExamples, Labels
from transfergrid.data.images.brightness import PLAIN, Depth, Scale
from transfergrid.data.images.decoding import SOUND, read_image, verdict, verdict_kind
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.fingerprints import file_facts

NAMED = 3
"""How many broken files an error message names."""
NO_FILE = "a link to nothing"


class FileExamples(DecodedExamples):
    """Images that are decoded only when they are read."""

    def __init__(
        self,
        files: Sequence[Path],
        labels: Labels,
        groups: NDArray[np.str_] | None = None,
        scale: Scale = PLAIN,
    ) -> None:
        """Keep the paths; labels and groups are (len(files),)."""
        self.scale = scale
        self.files = files
        self.labels = labels
        self.groups = groups

    def image(self, place: int) -> NDArray[np.uint8]:
        """See `DecodedExamples.image`."""
        return read_image(self.files[place], self.scale)


class Looked(NamedTuple):
    """What decoding a set of images found."""

    broken: set[str]
    """Images that do not decode."""
    depths: dict[str, Depth]
    """The depth of each image that has more than 8 bits."""

    def of(self, names: Iterable[str]) -> list[Depth]:
        """Return the depths of these images, leaving out images of 8 bits."""
        return [self.depths[name] for name in names if name in self.depths]


def looked_at(
    root: Path, names: Sequence[str], spelled: str, skip: bool, scale: Scale = PLAIN
) -> Looked:
    """Decode images to find broken ones and depths; verdicts are cached for each file.

    Args:
        root: an absolute folder.
        names: paths relative to it.
        spelled: name of the dataset in errors.
        skip: whether broken images are allowed.
        scale: black and white in images of more than 8 bits.

    Raises:
        BadInputError: an image is broken, and `skip` is false.
    """
    there = [name for name in names if (root / name).is_file()]
    facts = file_facts(root, there, verdict_kind(scale), lambda file: verdict(file, scale))
    verdicts = dict.fromkeys(names, NO_FILE) | facts
    broken = [name for name in names if not verdicts[name].startswith(SOUND)]
    if broken and not skip:
        first = ", ".join(f"{name} ({verdicts[name]})" for name in broken[:NAMED])
        found = f"{first}{', ...' if len(broken) > NAMED else ''}"
        count = f"{len(broken)} broken image{'s' if len(broken) > 1 else ''}"
        way_out = "target.skip_broken=true leaves them out"
        raise BadInputError(f"{spelled} has {count}: {found}; {way_out}")
    told = {name: verdicts[name].removeprefix(SOUND) for name in verdicts.keys() - {*broken}}
    return Looked(set(broken), {name: Depth.read(text) for name, text in told.items() if text})
