"""All images below a folder, without labels: for sources that learn without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from transfergrid.data.copies.duplicates import Duplicates
from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.images.brightness import check_files, scale_of
from transfergrid.data.images.image_files import FileExamples, Looked, looked_at
from transfergrid.data.images.image_kinds import is_junk, sorted_by_kind
from transfergrid.data.outline import Outline
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.fingerprints import existing, visible_files

NOTHING = ("unlabelled",)
"""The one class name that all examples have."""


@dataclass(frozen=True)
class UnlabelledImages(Domain):
    """All images below a folder, in any subfolder, without labels and without a test split.

    Attributes:
        root: the folder.
        skip_broken: leave out and count images that do not decode, instead of refusing.
        duplicates: whether copies of a target's test images are counted: "keep" as elsewhere.
        brightest: the value of white in images of more than 8 bits, if it is not clear.
        darkest: the value of black in these; 0 by default.
    """

    root: str
    skip_broken: bool = False
    duplicates: Duplicates = "keep"
    brightest: float | None = None
    darkest: float | None = None

    paths: ClassVar[tuple[str, ...]] = ("root",)
    optional: ClassVar[tuple[str, ...]] = ("brightest", "darkest")
    labelled: ClassVar[bool] = False

    @property
    def classes(self) -> tuple[str, ...]:
        """One class name for all examples."""
        return NOTHING

    def check(self) -> None:
        """See `Domain.check`; decodes every image once, and caches the verdicts."""
        super().check()
        if self.only is not None:
            raise BadInputError(f"only={list(self.only)}: {self.root} has no classes to keep")
        self._files()

    def outline(self) -> Outline:
        """See `Domain.outline`."""
        return Outline(NOTHING, (len(self._files()[1]),), (0,))

    def load(self) -> LoadedDomain:
        """Return lazily decoded images as the pool, and an empty test split."""
        root, names, looked = self._files()
        scale = scale_of(self.darkest, self.brightest)
        alike = np.zeros(len(names), dtype=np.int64)
        pool = FileExamples([root / name for name in names], alike, scale=scale)
        notes: dict[str, Any] = {"broken_images": len(looked.broken)}
        return LoadedDomain(pool, FileExamples([], alike[:0], scale=scale), NOTHING, notes)

    def _files(self) -> tuple[Path, list[str], Looked]:
        """Return the root, the relative paths of its sound images, and what decoding found."""
        root = existing(self.root)
        if not root.is_dir():
            raise BadInputError(f"{self.root} is a file, not a folder of images")
        visible = [name for name in visible_files(root) if not is_junk(name)]
        scale = scale_of(self.darkest, self.brightest)
        images = sorted_by_kind(root, visible).images
        looked = looked_at(root, images, self.root, self.skip_broken, scale)
        names = [name for name in images if name not in looked.broken]
        if not names:
            raise BadInputError(f"{self.root} has no images in it")
        check_files(self.root, {"the pool": looked.of(names)}, scale)
        return root, names, looked
