"""Image files as examples, and what to say of those that do not decode."""

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
    """What was found in images."""

    broken: set[str]
    depths: dict[str, Depth]
    """Of those that have more than 8 bits."""

    def of(self, names: Iterable[str]) -> list[Depth]:
        """Return the depths of those of these images that have more than 8 bits."""
        return [self.depths[name] for name in names if name in self.depths]


def looked_at(
    root: Path, names: Sequence[str], spelled: str, skip: bool, scale: Scale = PLAIN
) -> Looked:
    """Decode images, find those that do not decode, and remember what was found.

    Args:
        root: an absolute folder.
        names: paths relative to it.
        spelled: how errors call the data set.
        skip: whether there may be some that do not decode.
        scale: what is black and white in those of more than 8 bits.

    Raises:
        BadInputError: there are some that do not decode, and they may not be skipped.
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
