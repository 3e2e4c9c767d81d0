"""Images in class folders, with or without train, val and test folders above them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.domain import Domain, Examples, LoadedDomain
from transfergrid.data.duplicates import check_mode
from transfergrid.data.folder_layout import Layout, find_layout, folders
from transfergrid.data.images import SOUND, is_image, read_image, verdict, verdict_kind
from transfergrid.errors import BadInputError
from transfergrid.fingerprints import content_hashes, existing, file_facts, visible_files

NAMED = 3
"""How many broken files an error message names."""


@dataclass(frozen=True)
class Files:
    """The images of one split: relative path, and class name, of each."""

    names: tuple[str, ...]
    classes: tuple[str, ...]

    def only(self, keep: Iterable[bool]) -> Files:
        """Return those for which `keep` is true."""
        kept = [(n, c) for n, c, k in zip(self.names, self.classes, keep, strict=True) if k]
        return Files(tuple(n for n, _ in kept), tuple(c for _, c in kept))


class FileExamples(Examples):
    """Images that are decoded only when they are read."""

    def __init__(self, files: Sequence[Path], labels: NDArray[np.int64]) -> None:
        """Keep the paths; labels are (len(files),)."""
        self.files = files
        self.labels = labels

    def read(self, indices: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Return a list of images (H, W, C), sizes and channels as the files have them."""
        return [read_image(self.files[int(i)]) for i in indices]


@dataclass(frozen=True)
class ImageFolder(Domain):
    """One folder per class, below `root` or below its train, val and test folders.

    Training and validation folders are the pool together; validation is drawn from the labels
    that a cell is given.

    Attributes:
        root: the folder.
        test_split: what to test on where there is no test folder: a share of each class between
            0 and 1, or the name of a folder such as "val".
        skip_broken: leave out and count images that do not decode, instead of refusing.
        duplicates: "keep" counts test images whose copies are in the pool, "drop" leaves those
            copies out of the pool.
    """

    root: str
    test_split: float | str | None = None
    skip_broken: bool = False
    duplicates: str = "keep"

    paths: ClassVar[tuple[str, ...]] = ("root",)

    @property
    def classes(self) -> tuple[str, ...]:
        """Sorted names of the class folders in the pool."""
        root, layout = self._layout()
        return tuple(sorted({c for split in layout.pool for c in folders(root, split)}))

    def check(self) -> None:
        """See `Domain.check`; decodes every image once, and remembers which were sound."""
        super().check()
        check_mode(self.duplicates)
        self._splits()

    def load(self) -> LoadedDomain:
        """Return lazily decoded splits; see `FileExamples`."""
        root, pool, test, notes = self._splits()
        classes = self.classes
        examples = [_examples(root, files, classes) for files in (pool, test)]
        return LoadedDomain(examples[0], examples[1], classes, notes)

    def _splits(self) -> tuple[Path, Files, Files, dict[str, Any]]:
        """Return the root, the pool's files, the test split's, and what is worth noting."""
        root, layout = self._layout()
        names = visible_files(root)
        pool, test = (_files(names, splits) for splits in (layout.pool, layout.test))
        self._check_classes(pool, test)
        broken = self._broken(root, [*pool.names, *test.names])
        pool, test = (part.only(n not in broken for n in part.names) for part in (pool, test))
        hashes = content_hashes(root, [*pool.names, *test.names])
        if layout.fraction is not None:
            is_test = share_of_each_class(pool, hashes, layout.fraction)
            pool, test = pool.only(not t for t in is_test), pool.only(is_test)
        self._check_splits(pool, test)
        notes = {
            "other_files": sum(not is_image(name) for name in names),
            "broken_images": len(broken),
            "ignored_folders": list(layout.ignored),
            "test_images_also_in_pool": _n_copies(pool, test, hashes),
        }
        return root, pool, test, notes

    def _layout(self) -> tuple[Path, Layout]:
        root = existing(self.root)
        if not root.is_dir():
            raise BadInputError(f"{self.root} is a file, not a folder of class folders")
        if not folders(root, ""):
            raise BadInputError(f"{self.root} has no class folders in it")
        return root, find_layout(self.root, root, self.test_split)

    def _broken(self, root: Path, names: list[str]) -> set[str]:
        """Return the images that do not decode.

        Raises:
            BadInputError: there are some, and they may not be skipped.
        """
        verdicts = file_facts(root, names, verdict_kind(), verdict)
        broken = [name for name in names if verdicts[name] != SOUND]
        if broken and not self.skip_broken:
            first = ", ".join(f"{name} ({verdicts[name]})" for name in broken[:NAMED])
            found = f"{first}{', ...' if len(broken) > NAMED else ''}"
            count = f"{len(broken)} broken image{'s' if len(broken) > 1 else ''}"
            way_out = "target.skip_broken=true leaves them out"
            raise BadInputError(f"{self.root} has {count}: {found}; {way_out}")
        return set(broken)

    def _check_classes(self, pool: Files, test: Files) -> None:
        """Refuse what the folders' names alone show to be wrong."""
        classes = self.classes
        if len(classes) < 2:
            raise BadInputError(f"{self.root} has only one class: {', '.join(classes)}")
        empty = sorted(set(classes) - set(pool.classes))
        if empty:
            raise BadInputError(f"{self.root}: class folder {empty[0]!r} has no images in it")
        new = sorted(set(test.classes) - set(classes))
        if new:
            raise BadInputError(f"{self.root}: test has classes that train lacks: {', '.join(new)}")

    def _check_splits(self, pool: Files, test: Files) -> None:
        """Refuse splits of which nothing is left."""
        lost = sorted(set(self.classes) - set(pool.classes))
        if lost:
            raise BadInputError(f"{self.root}: all images of class {lost[0]!r} are broken")
        if not test.names:
            raise BadInputError(f"{self.root} has no images to test on")


def _files(names: Iterable[str], splits: tuple[str, ...]) -> Files:
    """Return the images that lie in some class folder of these splits, in the order of `names`."""
    named, classes = [], []
    for name in filter(is_image, names):
        split, _, inner = name.partition("/") if splits != ("",) else ("", "", name)
        if split in splits and "/" in inner:
            named.append(name)
            classes.append(inner.partition("/")[0])
    return Files(tuple(named), tuple(classes))


def share_of_each_class(files: Files, hashes: dict[str, str], share: float) -> list[bool]:
    """Choose a share of each class by the images' contents.

    So the choice does not depend on where the folder lies, how its files are named or listed, or
    on the other classes. At least one image of a class is chosen and one is not, if it has two.
    """
    chosen: set[str] = set()
    for name in sorted(set(files.classes)):
        members = [n for n, c in zip(files.names, files.classes, strict=True) if c == name]
        count = min(max(1, round(share * len(members))), len(members) - 1)
        chosen.update(sorted(members, key=lambda n: (hashes[n], n))[:count])
    return [name in chosen for name in files.names]


def _n_copies(pool: Files, test: Files, hashes: dict[str, str]) -> int:
    """Count the test images that are also in the pool, byte for byte."""
    known = {hashes[name] for name in pool.names}
    return sum(hashes[name] in known for name in test.names)


def _examples(root: Path, files: Files, classes: tuple[str, ...]) -> FileExamples:
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index[name] for name in files.classes], dtype=np.int64)
    return FileExamples([root / name for name in files.names], labels)
