"""Images in class folders, with or without train, val and test folders above them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from transfergrid.data.content_splits import share_of_each_class
from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.duplicates import check_mode, order_key, with_copies_settled
from transfergrid.data.folder_layout import Layout, find_layout, folders
from transfergrid.data.image_files import FileExamples, broken_images
from transfergrid.data.images import is_image
from transfergrid.errors import BadInputError
from transfergrid.fingerprints import content_hashes, existing, visible_files


@dataclass(frozen=True)
class Files:
    """The images of one split: relative path, and class name, of each."""

    names: tuple[str, ...]
    classes: tuple[str, ...]

    def only(self, keep: Iterable[bool]) -> Files:
        """Return those for which `keep` is true."""
        kept = [(n, c) for n, c, k in zip(self.names, self.classes, keep, strict=True) if k]
        return Files(tuple(n for n, _ in kept), tuple(c for _, c in kept))


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
        if self.duplicates == "drop":
            self.load()  # finds the classes of which nothing would be left

    def load(self) -> LoadedDomain:
        """Return lazily decoded splits; see `FileExamples`."""
        root, pool, test, notes = self._splits()
        classes = self.classes
        examples = [_examples(root, files, classes) for files in (pool, test)]
        loaded = LoadedDomain(examples[0], examples[1], classes, notes)
        hashes = content_hashes(root, [*pool.names, *test.names])
        key = order_key(*([hashes[name] for name in part.names] for part in (pool, test)))
        return with_copies_settled(loaded, self.modality, self.duplicates, key, self.root)

    def _splits(self) -> tuple[Path, Files, Files, dict[str, Any]]:
        """Return the root, the pool's files, the test split's, and what is worth noting."""
        root, layout = self._layout()
        names = visible_files(root)
        pool, test = (_files(names, splits) for splits in (layout.pool, layout.test))
        self._check_classes(pool, test)
        everything = [*pool.names, *test.names]
        broken = broken_images(root, everything, self.root, self.skip_broken)
        pool, test = (part.only(n not in broken for n in part.names) for part in (pool, test))
        hashes = content_hashes(root, [*pool.names, *test.names])
        if layout.fraction is not None:
            keys = [(hashes[name], name) for name in pool.names]
            is_test = share_of_each_class(keys, pool.classes, layout.fraction)
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


def _n_copies(pool: Files, test: Files, hashes: dict[str, str]) -> int:
    """Count the test images that are also in the pool, byte for byte."""
    known = {hashes[name] for name in pool.names}
    return sum(hashes[name] in known for name in test.names)


def _examples(root: Path, files: Files, classes: tuple[str, ...]) -> FileExamples:
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index[name] for name in files.classes], dtype=np.int64)
    return FileExamples([root / name for name in files.names], labels)
