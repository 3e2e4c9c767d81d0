"""Images and labels in one NumPy archive (.npz)."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.budgets import check_some_left, stratified_split
from transfergrid.data.copies.duplicates import Duplicates, with_copies_settled
from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import ArrayExamples, Labels
from transfergrid.data.images.array_values import (
    as_images,
    as_indices,
    as_labels,
    as_numbers,
    class_names,
)
from transfergrid.data.images.brightness import BRIGHTEST, DIM, Scale, scale_of
from transfergrid.data.numbers import check_numbers, first_of, share_parts, tenths
from transfergrid.data.outline import Outline, outline_of, outlined
from transfergrid.records.arguments import Part
from transfergrid.records.errors import BadInputError, as_line
from transfergrid.records.files.fingerprints import existing, file_facts, fingerprint
from transfergrid.records.metrics import CLASSES, NUMBERS

SOUND = "sound"
READING = 4
"""Version of the check; raise it whenever other archives may be refused. Then cached verdicts are
not used any more."""

LONGEST_REASON = 200
"""How many characters an error quotes of another library's message."""

ATTRIBUTES = "attributes"
"""Name of the array with descriptions of the classes."""

T = TypeVar("T")


@dataclass(frozen=True)
class Arrays(Domain):
    """An archive with `x_train, y_train, x_test, y_test`, or with `x, y` and a share to test on.

    `x_val, y_val` join the pool; `class_names` is optional, and so are `attributes`, (classes, d),
    which describe each class. Images are (n, H, W), (n, H, W, C) or (n, C, H, W), with values from
    0 to 255, all from 0 to 1, or 16-bit. Labels are whole numbers or text; with a metric of numbers
    they are numbers, (n,) or (n, outputs).

    Attributes:
        file: the archive.
        test_split: share of each class to test on, if there is no `x_test`.
        duplicates: "keep" counts test images whose copies are in the pool, "drop" leaves those
            copies out of the pool.
        brightest: the value of white, if it is not clear.
        darkest: the value of black then; 0 by default.
    """

    file: str
    test_split: Part | None = None
    duplicates: Duplicates = "keep"
    brightest: float | None = None
    darkest: float | None = None

    optional: ClassVar[tuple[str, ...]] = ("brightest", "darkest")
    paths: ClassVar[tuple[str, ...]] = ("file",)
    tasks: ClassVar[tuple[str, ...]] = (CLASSES, NUMBERS)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names from the archive, or else its sorted labels as text."""
        if self.of_numbers:
            return ()
        return self._of(lambda archive: _classes(archive, self._parts(archive))[0])

    @property
    def outputs(self) -> tuple[str, ...]:
        """See `Domain.outputs`: "y", or "y0", "y1", ... for several numbers."""
        return self._of(self._outputs) if self.of_numbers else ()

    def _outputs(self, archive: Archive) -> tuple[str, ...]:
        labels = archive.numbers(self._parts(archive).pool[0])
        return ("y",) if labels.ndim == 1 else tuple(f"y{i}" for i in range(labels.shape[1]))

    @property
    def is_described(self) -> bool:
        """See `Domain.is_described`."""
        return self._of(lambda archive: ATTRIBUTES in archive.keys)

    def check(self) -> None:
        """See `Domain.check`; reads the archive once, and caches the verdict."""
        super().check()
        file = existing(self.file)
        if file.is_dir():
            raise BadInputError(f"{self.file} is a folder, not an npz file")
        kind = f"arrays/{READING}/{self.version}/{self.test_split!r}{self._scale.spelled}"
        kind += f"/{self.metric}" if self.of_numbers else ""
        verdict = file_facts(file, [""], kind, self._verdict)[""]
        if verdict != SOUND:
            raise BadInputError(f"{self.file}: {verdict}")
        if self.duplicates == "drop":
            self.load()  # raises if a class would be left without examples

    def outline(self) -> Outline:
        """See `Domain.outline`; copies that "drop" leaves out of the pool still count."""
        kind = f"outline/{self.version}/{self.test_split!r}"
        kind += "/numbers" if self.of_numbers else ""
        kept = file_facts(existing(self.file), [""], kind, self._kept_outline)[""]
        return outline_of(json.loads(kept))

    def _kept_outline(self, file: Path) -> str:
        archive = Archive(file)
        parts = self._parts(archive)
        classes, labels = self._labels(archive, parts)
        pool = np.concatenate([labels[part] for part in parts.pool])
        if parts.test is not None:
            test = labels[parts.test]
        else:
            is_test = self._share(pool, classes)
            pool, test = pool[~is_test], pool[is_test]
        return json.dumps(outlined(classes, pool, test).as_dict())

    def remarks(self) -> list[str]:
        """See `Domain.remarks`: a remark if no pixel of 8-bit images is anywhere near white."""
        if self.brightest is not None:
            return []
        kind = f"white/{self.version}/{self.test_split!r}"
        white = int(file_facts(existing(self.file), [""], kind, self._whitest)[""])
        if white >= DIM:
            return []
        return [
            f"{self.file}: no pixel is brighter than {white} of 255: if {white} is white, say "
            f"target.brightest={white}"
        ]

    def _whitest(self, file: Path) -> str:
        archive = Archive(file)
        parts = (archive.read(f"x{part}") for part in self._parts(archive).all)
        whites = [int(part.max(initial=0)) for part in parts if part.dtype == np.uint8]
        return str(max(whites, default=BRIGHTEST))

    def load(self) -> LoadedDomain:
        """Return images (n, H, W, C) in memory."""
        loaded = self._of(self._loaded)
        key = f"arrays/{self.version}/{self.test_split!r}/{fingerprint(self.file)}"
        key += self._scale.spelled
        return with_copies_settled(loaded, self.modality, self.duplicates, key, self.file)

    @property
    def _scale(self) -> Scale:
        return scale_of(self.darkest, self.brightest)

    def _verdict(self, file: Path) -> str:
        try:
            self._loaded(Archive(file))
        except BadInputError as error:
            return str(error)
        return SOUND

    def _of(self, use: Callable[[Archive], T]) -> T:
        """Return `use(archive)` for the opened archive; errors name the file as typed."""
        file = existing(self.file)
        try:
            return use(Archive(file))
        except BadInputError as error:
            raise BadInputError(f"{self.file}: {error}") from error

    def _parts(self, archive: Archive) -> Parts:
        return find_parts(archive.keys, self.test_split)

    def _loaded(self, archive: Archive) -> LoadedDomain:
        parts = self._parts(archive)
        classes, labels = self._labels(archive, parts)
        pixels = {f"x{part}": archive.read(f"x{part}") for part in parts.all}
        images = as_images(pixels, self._scale)
        for part in parts.all:
            _check_pairs(part, images[f"x{part}"], labels[part])
        x = _joined([images[f"x{part}"] for part in parts.pool])
        y = np.concatenate([labels[part] for part in parts.pool])
        known = parts.keys | {"class_names", ATTRIBUTES}
        notes = {"unused_arrays": sorted(archive.keys - known)}
        if parts.test is not None:
            pool, test = ArrayExamples(x, y), ArrayExamples(*_both(images, labels, parts.test))
        else:
            is_test = self._share(y, classes)
            pool = ArrayExamples(x[~is_test], y[~is_test])
            test = ArrayExamples(x[is_test], y[is_test])
        outputs = self._outputs(archive) if self.of_numbers else ()
        if outputs:
            check_numbers(pool.labels, test.labels, outputs, self.metric)
        elif parts.test is not None:
            _check_seen(f"y{parts.test}", test.labels, y, classes)
        return LoadedDomain(pool, test, classes, notes, outputs, _attributes(archive, classes))

    def _labels(self, archive: Archive, parts: Parts) -> tuple[tuple[str, ...], dict[str, Labels]]:
        """Return the classes (empty if labels are numbers), and each part's labels."""
        if not self.of_numbers:
            classes, values = _classes(archive, parts)
            told = {p: as_indices(f"y{p}", archive.labels(p), values) for p in parts.all}
            return classes, dict(told)
        numbers = {part: archive.numbers(part) for part in parts.all}
        (first, like), *others = numbers.items()
        for part, labels in others:
            if labels.shape[1:] != like.shape[1:]:
                both = f"{labels.shape[1:]}, but y{first} of {like.shape[1:]}"
                raise BadInputError(f"y{part} has labels of shape {both}")
        return (), dict(numbers)

    def _share(self, labels: Labels, classes: tuple[str, ...]) -> NDArray[np.bool_]:
        share = self.test_split or 0.0
        n_test = max(1, round(share * len(labels)))
        if self.of_numbers:
            parts = tenths(first_of(labels), share_parts(len(labels), share))
            return stratified_split(parts, n_test, 0, "arrays", "test")
        is_test = stratified_split(labels, n_test, 0, "arrays", "test")
        check_some_left(labels, is_test, classes)
        return is_test


@dataclass(frozen=True)
class Parts:
    """Endings of the names of the arrays in the pool, and of those in the test split."""

    pool: tuple[str, ...]
    test: str | None

    @property
    def all(self) -> tuple[str, ...]:
        """The endings of the pool's parts, then that of the test part if there is one."""
        return self.pool if self.test is None else (*self.pool, self.test)

    @property
    def keys(self) -> frozenset[str]:
        """The names of the arrays that must exist."""
        return frozenset(letter + part for part in self.all for letter in "xy")


def find_parts(keys: frozenset[str], test_split: float | None) -> Parts:
    """Return an archive's splits, found by the names of its arrays.

    Raises:
        BadInputError: arrays are missing, or there is no test split, or two ways to get one.
    """
    has = {part: bool(keys & {f"x{part}", f"y{part}"}) for part in ("", "_train", "_val", "_test")}
    whole = has[""] and not (has["_train"] or has["_test"])
    if has["_test"] and test_split is not None:
        raise BadInputError("x_test is there already: leave out test_split")
    if whole and test_split is None:
        raise BadInputError(
            "no test part: add x_test and y_test, or give a share: target.test_split=0.2"
        )
    train = ("_train", "_val") if has["_val"] else ("_train",)
    parts = Parts(("",) if whole else train, "_test" if test_split is None else None)
    missing = sorted(parts.keys - keys)
    if missing:
        raise BadInputError(f"lacks {', '.join(missing)}; it has {', '.join(sorted(keys))}")
    return parts


class Archive:
    """An npz file whose arrays are read one by one, never unpickled."""

    def __init__(self, file: Path) -> None:
        """Open the archive; `keys` are the names of its arrays."""
        if not zipfile.is_zipfile(file):
            raise BadInputError("is no npz archive")
        self._file = file
        try:
            with zipfile.ZipFile(file) as archive:
                self.keys = frozenset(name.removesuffix(".npy") for name in archive.namelist())
        except Exception as error:  # any error may come up, see `read`
            raise BadInputError(f"is no npz archive: {as_line(error, LONGEST_REASON)}") from error

    def read(self, key: str) -> NDArray[Any]:
        """Return one array.

        Raises:
            BadInputError: it is damaged, or holds Python objects.
        """
        try:
            with np.load(self._file, allow_pickle=False) as archive:
                array = archive[key]
        except Exception as error:  # zipfile, zlib and numpy raise fifteen kinds
            if "allow_pickle" in str(error):
                told = "holds pickled Python objects; save plain numbers or text"
                raise BadInputError(f"{key} {told}") from error
            raise BadInputError(
                f"{key} cannot be read: {as_line(error, LONGEST_REASON)}"
            ) from error
        if not isinstance(array, np.ndarray):  # a member that is no .npy file is read as bytes
            raise BadInputError(f"{key} is no array")
        return array

    def labels(self, part: str) -> NDArray[Any]:
        """Return the labels (n,) of a part, numbers or text."""
        return as_labels(f"y{part}", self.read(f"y{part}"))

    def numbers(self, part: str) -> NDArray[np.float32]:
        """Return the labels of a part that are numbers, (n,) or (n, outputs)."""
        return as_numbers(f"y{part}", self.read(f"y{part}"))


def _classes(archive: Archive, parts: Parts) -> tuple[tuple[str, ...], NDArray[Any]]:
    given = archive.read("class_names") if "class_names" in archive.keys else None
    return class_names({f"y{part}": archive.labels(part) for part in parts.pool}, given)


def _both(
    images: dict[str, NDArray[np.uint8]], labels: dict[str, Labels], part: str
) -> tuple[NDArray[np.uint8], Labels]:
    return images[f"x{part}"], labels[part]


def _joined(arrays: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)  # do not copy a large array


def _check_pairs(part: str, images: NDArray[np.uint8], labels: Labels) -> None:
    if len(images) != len(labels):
        raise BadInputError(f"x{part} has {len(images)} images, but y{part} {len(labels)} labels")


def _check_seen(
    key: str, test: NDArray[np.int64], pool: NDArray[np.int64], classes: tuple[str, ...]
) -> None:
    new = np.setdiff1d(test, pool)
    if len(new):
        names = ", ".join(classes[c] for c in new)
        raise BadInputError(f"{key} has classes that the training labels lack: {names}")


def _attributes(archive: Archive, classes: Sequence[str]) -> NDArray[np.float32] | None:
    """Return the descriptions of the classes, (classes, d); None if there are none."""
    if ATTRIBUTES not in archive.keys or not classes:
        return None
    told = archive.read(ATTRIBUTES)
    if told.ndim != 2 or len(told) != len(classes) or told.dtype.kind not in "biuf":
        raise BadInputError(
            f"{ATTRIBUTES} must be numbers of shape ({len(classes)}, d), a row a class, and is "
            f"{told.dtype} {told.shape}"
        )
    if not np.isfinite(told).all():
        raise BadInputError(f"{ATTRIBUTES} holds values that are not finite")
    return told.astype(np.float32)
