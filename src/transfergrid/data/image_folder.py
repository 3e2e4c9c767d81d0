"""Images in class folders, with or without train, val and test folders above them."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.class_names import check_different
from transfergrid.data.content_splits import named, share_of_each_class
from transfergrid.data.copies.duplicates import Duplicates, order_key, with_copies_settled
from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.images.brightness import Scale, check_files, scale_of
from transfergrid.data.images.folder_layout import Layout, find_layout, folders
from transfergrid.data.images.image_files import FileExamples, looked_at
from transfergrid.data.images.image_kinds import SUFFIXES, Kinds, is_junk, sorted_by_kind
from transfergrid.data.outline import Outline, outlined
from transfergrid.records.arguments import SplitOrPart
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.fingerprints import content_hashes, existing, visible_files


@dataclass(frozen=True)
class Files:
    """The images of one split: the relative path and the class name of each."""

    names: tuple[str, ...]
    classes: tuple[str, ...]

    def only(self, keep: Iterable[bool]) -> Files:
        """Return the images for which `keep` is true."""
        kept = [(n, c) for n, c, k in zip(self.names, self.classes, keep, strict=True) if k]
        return Files(tuple(n for n, _ in kept), tuple(c for _, c in kept))


@dataclass(frozen=True)
class Listing:
    """The contents of the folder; no image has been decoded."""

    root: Path
    layout: Layout
    kinds: Kinds
    pool: Files
    test: Files

    @property
    def everything(self) -> tuple[str, ...]:
        """The images in class folders."""
        return (*self.pool.names, *self.test.names)

    def unused(self) -> list[str]:
        """Return remarks on what is not used, with examples; hidden files are not counted."""
        used, inside = set(self.everything), (*self.layout.pool, *self.layout.test)
        told = (
            ("image", "outside the class folders", [n for n in self.kinds.images if n not in used]),
            ("image", "of a kind that is not read", self.kinds.not_read),
            ("file", "without an image", _files(self.kinds.others, inside).names),
            ("folder", "that belongs to no split", self.layout.ignored),
        )
        return [
            f"{_count(what, names)} {why}: {named(names)}" for what, why, names in told if names
        ]


@dataclass(frozen=True)
class ImageFolder(Domain):
    """One folder per class, below `root` or below its train, val and test folders.

    Training and validation folders form the pool together; a cell's validation part is drawn from
    its given labels.

    Attributes:
        root: the folder.
        test_split: what to test on if there is no test folder: a share of each class between 0
            and 1, or the name of a folder such as "val".
        skip_broken: leave out and count images that do not decode, instead of refusing.
        duplicates: "keep" counts test images whose copies are in the pool, "drop" leaves those
            copies out of the pool.
        brightest: the value of white in images of more than 8 bits, if it is not clear.
        darkest: the value of black in these; 0 by default.
    """

    root: str
    test_split: SplitOrPart | None = None
    skip_broken: bool = False
    duplicates: Duplicates = "keep"
    brightest: float | None = None
    darkest: float | None = None

    paths: ClassVar[tuple[str, ...]] = ("root",)
    optional: ClassVar[tuple[str, ...]] = ("brightest", "darkest")
    amended: ClassVar[bool] = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Sorted names of the class folders in the pool."""
        root, layout = self._layout()
        return tuple(sorted({c for split in layout.pool for c in folders(root, split)}))

    def amendments(self) -> dict[str, Any]:
        """Return a hash of the images that the first release ignored because of their names.

        Empty if there are none.
        """
        try:
            listing = self._listing()
        except BadInputError:
            return {}  # `check` refuses it
        later = [n for n in listing.everything if PurePosixPath(n).suffix.lower() not in SUFFIXES]
        broken = looked_at(listing.root, later, self.root, skip=True).broken
        hashes = content_hashes(listing.root, [name for name in later if name not in broken])
        told = "\n".join(f"{hashes[name]} {name}" for name in sorted(hashes))
        return {"later_images": sha256(told.encode()).hexdigest()[:16]} if hashes else {}

    def check(self) -> None:
        """See `Domain.check`; decodes every image once, and caches the verdicts."""
        super().check()
        self._splits()
        if self.duplicates == "drop":
            self.load()  # raises if a class would be left without examples

    def remarks(self) -> list[str]:
        """See `Domain.remarks`: which contents of the folder are not used."""
        listing = self._listing()
        everything, scale = listing.everything, scale_of(self.darkest, self.brightest)
        broken = looked_at(listing.root, everything, self.root, self.skip_broken, scale).broken
        told = listing.unused()
        if broken:
            told.append(f"{_count('broken image', broken)}: {named(sorted(broken))}")
        return [f"{self.root}: not used are {'; '.join(told)}"] if told else []

    def outline(self) -> Outline:
        """See `Domain.outline`; copies that "drop" leaves out of the pool still count."""
        _, pool, test, _ = self._splits()
        classes = self.classes
        return outlined(classes, _labels(pool, classes), _labels(test, classes))

    def load(self) -> LoadedDomain:
        """Return lazily decoded splits; see `FileExamples`."""
        root, pool, test, notes = self._splits()
        classes = self.classes
        scale = scale_of(self.darkest, self.brightest)
        examples = [_examples(root, files, classes, scale) for files in (pool, test)]
        loaded = LoadedDomain(examples[0], examples[1], classes, notes)
        hashes = content_hashes(root, [*pool.names, *test.names])
        key = order_key(*([hashes[name] for name in part.names] for part in (pool, test)))
        key += scale.spelled
        return with_copies_settled(loaded, self.modality, self.duplicates, key, self.root)

    def _splits(self) -> tuple[Path, Files, Files, dict[str, Any]]:
        """Return the root, the files of pool and test split, and notes for the record."""
        listing = self._listing()
        root, layout, pool, test = listing.root, listing.layout, listing.pool, listing.test
        self._check_classes(pool, test)
        scale = scale_of(self.darkest, self.brightest)
        looked = looked_at(root, listing.everything, self.root, self.skip_broken, scale)
        broken = looked.broken
        pool, test = (part.only(n not in broken for n in part.names) for part in (pool, test))
        hashes = content_hashes(root, [*pool.names, *test.names])
        if layout.fraction is not None:
            keys = [(hashes[name], name) for name in pool.names]
            is_test = share_of_each_class(keys, pool.classes, layout.fraction)
            pool, test = pool.only(not t for t in is_test), pool.only(is_test)
        self._check_splits(pool, test)
        depths = {"the pool": looked.of(pool.names), "test": looked.of(test.names)}
        check_files(self.root, depths, scale)
        notes = {
            "other_files": len(listing.kinds.not_read) + len(listing.kinds.others),
            "unused_images": len(listing.kinds.images) - len(listing.everything),
            "broken_images": len(broken),
            "ignored_folders": list(layout.ignored),
            "test_images_also_in_pool": _n_copies(pool, test, hashes),
        }
        return root, pool, test, notes

    def _listing(self) -> Listing:
        root, layout = self._layout()
        names = [name for name in visible_files(root) if not is_junk(name)]
        kinds = sorted_by_kind(root, names)
        pool, test = (_files(kinds.images, splits) for splits in (layout.pool, layout.test))
        return Listing(root, layout, kinds, pool, test)

    def _layout(self) -> tuple[Path, Layout]:
        root = existing(self.root)
        if not root.is_dir():
            raise BadInputError(f"{self.root} is a file, not a folder of class folders")
        if not folders(root, ""):
            raise BadInputError(f"{self.root} has no class folders in it")
        return root, find_layout(self.root, root, self.test_split)

    def _check_classes(self, pool: Files, test: Files) -> None:
        """Raise if the names of class folders, or a lack of images in them, show a mistake."""
        classes = self.classes
        if len(classes) < 2:
            raise BadInputError(
                f"{self.root} has only one class: {', '.join(classes)}{self._hint()}"
            )
        try:
            check_different(classes, "move the images into one folder of them")
        except BadInputError as error:
            raise BadInputError(f"{self.root}: {error}") from error
        empty = sorted(set(classes) - set(pool.classes))
        if empty:
            raise BadInputError(f"{self.root}: class folder {empty[0]!r} has no images in it")
        new = sorted(set(test.classes) - set(classes))
        if new:
            raise BadInputError(f"{self.root}: test has classes that train lacks: {', '.join(new)}")

    def _hint(self) -> str:
        """Return a hint where the classes may be, if the only class folder contains folders."""
        root, layout = self._layout()
        split = layout.pool[0]
        inner = [f"{split}/{name}".strip("/") for name in folders(root, split)]
        deeper = [name for name in inner if folders(root, name)]
        return (
            f"; if its folders are the classes or splits: target.root={self.root}/{deeper[0]}"
            if deeper
            else ""
        )

    def _check_splits(self, pool: Files, test: Files) -> None:
        """Raise if a class of the pool, or the test split, has no images left."""
        lost = sorted(set(self.classes) - set(pool.classes))
        if lost:
            raise BadInputError(f"{self.root}: all images of class {lost[0]!r} are broken")
        if not test.names:
            told = [f"{self.root} has no images to test on", *self._listing().unused()]
            raise BadInputError("; not used are ".join(told[:2]))


def _files(names: Iterable[str], splits: tuple[str, ...]) -> Files:
    """Return the files that are in class folders of these splits, in the order of `names`."""
    found, classes = [], []
    for name in names:
        inner = [name.removeprefix(f"{split}/") for split in splits if _lies_in(name, split)]
        if inner and "/" in inner[0]:
            found.append(name)
            classes.append(inner[0].partition("/")[0])
    return Files(tuple(found), tuple(classes))


def _lies_in(name: str, split: str) -> bool:
    return not split or name.startswith(f"{split}/")


def _count(what: str, things: Sized) -> str:
    return f"{len(things)} {what}{'s' if len(things) > 1 else ''}"


def _n_copies(pool: Files, test: Files, hashes: dict[str, str]) -> int:
    """Count the test images that are also in the pool, byte for byte."""
    known = {hashes[name] for name in pool.names}
    return sum(hashes[name] in known for name in test.names)


def _labels(files: Files, classes: tuple[str, ...]) -> NDArray[np.int64]:
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[name] for name in files.classes], dtype=np.int64)


def _examples(root: Path, files: Files, classes: tuple[str, ...], scale: Scale) -> FileExamples:
    labels = _labels(files, classes)
    return FileExamples([root / name for name in files.names], labels, scale=scale)
