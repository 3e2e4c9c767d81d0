"""The classification datasets of torchvision, by name."""

from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.budgets import check_some_left, stratified_split
from transfergrid.data.copies.duplicates import Duplicates, with_copies_settled
from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import DecodedExamples, Examples, Subset
from transfergrid.data.images.decoding import as_array
from transfergrid.data.torchvision_splits import KNOWN, LABELS, PACKED, Known, files_of
from transfergrid.records.errors import BadInputError, check_known, did_you_mean, first_line
from transfergrid.records.files.fingerprints import at_home, content_hashes, visible_files

PATIENCE = 10.0
"""Seconds to wait for a server's next answer while downloading."""
OURS = frozenset({"root", "train", "what", "transform", "target_transform", "download"})
"""Constructor arguments that are not for `options`."""


@dataclass(frozen=True)
class TorchvisionData(Domain):
    """A dataset of torchvision; train and validation parts form the pool together.

    Attributes:
        dataset: its name in torchvision, such as "CIFAR10".
        root: the folder with its files, or for downloads.
        download: download missing files; needs a network.
        options: other arguments of its constructor, such as `split: letters` for EMNIST.
        test_split: share of each class to test on, if torchvision has only one part.
        duplicates: "keep" counts test images whose copies are in the pool, "drop" leaves those
            copies out of the pool.
    """

    dataset: str
    root: str
    download: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    test_split: float | None = None
    duplicates: Duplicates = "keep"

    paths: ClassVar[tuple[str, ...]] = ("root",)
    content_addressed: ClassVar[bool] = True
    descriptive: ClassVar[tuple[str, ...]] = (*Domain.descriptive, "download")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names from torchvision, without classes that have no pool examples."""
        pool, _ = self._parts()
        return self._used(pool)[0]

    def content(self) -> str:
        """See `Component.content`: of the dataset's own files, not of others in the folder."""
        names = self._files()
        if not names:
            self._parts()  # downloads them, or raises
            names = self._files()
        hashes = content_hashes(at_home(self.root).absolute(), names)
        told = "\n".join(f"{hashes[name]} {name}" for name in sorted(hashes))
        return sha256(told.encode()).hexdigest()[:16]

    def _files(self) -> list[str]:
        """Return those of the dataset's files below the root that exist."""
        assert self._known
        folder, names = at_home(self.root), []
        for name in files_of(self.dataset, self.options):
            inner = visible_files(folder / name) if (folder / name).is_dir() else []
            names += [f"{name}/{n}" for n in inner if not n.endswith(PACKED)]
            names += [name] if (folder / name).is_file() else []
        return names

    def check(self) -> None:
        """See `Domain.check`; decodes every image once."""
        super().check()
        self.load()

    def load(self) -> LoadedDomain:
        """Return lazily decoded splits."""
        parts, test = self._parts()
        classes, used = self._used(parts)
        pool: Examples = DatasetExamples(parts, used, self.dataset)
        if test is None:
            share = self.test_split or 0.0
            n_test = max(1, round(share * len(pool)))
            is_test = stratified_split(pool.labels, n_test, 0, "torchvision", "test")
            check_some_left(pool.labels, is_test, classes)
            whole, pool = pool, Subset(pool, np.flatnonzero(~is_test))
            sealed: Examples = Subset(whole, np.flatnonzero(is_test))
        else:
            sealed = DatasetExamples([test], used, self.dataset)
        loaded = LoadedDomain(pool, sealed, classes)
        options = sorted((key, str(value)) for key, value in self.options.items())
        key = f"torchvision/{self.version}/{self.dataset}/{options}/{self.test_split!r}"
        key += f"/{self.content()}"
        return with_copies_settled(loaded, self.modality, self.duplicates, key, self.dataset)

    def _used(self, pool: Sequence[Any]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the names and the numbers (n_classes,) of the classes that occur in the pool."""
        used = np.unique(np.concatenate([labels_of(part) for part in pool]))
        names = self._known.classes or class_names(pool[0], int(used.max()) + 1)
        if len(used) < 2:
            raise BadInputError(f"{self.dataset} has only one class: {names[used[0]]}")
        return tuple(names[number] for number in used), used

    @property
    def _known(self) -> Known:
        """The entry of the dataset in `KNOWN`, with its splits and files.

        Raises:
            BadInputError: the dataset cannot be a target, or `test_split` does not fit.
        """
        near = {name.lower(): name for name in KNOWN}.get(str(self.dataset).lower())
        if self.dataset not in KNOWN:
            hint = f"; did you mean {near}?" if near else did_you_mean(self.dataset, KNOWN)
            raise BadInputError(f"no classification dataset {self.dataset!r} of torchvision{hint}")
        known = KNOWN[self.dataset]
        share = self.test_split
        if known.test is not None and share is not None:
            raise BadInputError(f"{self.dataset} has a test part already: leave out test_split")
        if known.test is None and not (isinstance(share, float) and 0 < share < 1):
            raise BadInputError(
                f"{self.dataset} has no test part: give a share between 0 and 1, such as "
                f"target.test_split=0.2, not {share!r}"
            )
        return known

    def _parts(self) -> tuple[list[Any], Any | None]:
        """Return torchvision's objects for the pool's parts and the test part."""
        known = self._known
        arguments = [*known.pool, *([known.test] if known.test is not None else [])]
        made = [self._open(own) for own in arguments]
        return (made[:-1], made[-1]) if known.test is not None else (made, None)

    def _open(self, own: Mapping[str, Any]) -> Any:
        """Return torchvision's object for one part.

        The only files that torchvision unpickles are CIFAR's, and it compares their MD5 with the
        published one first.
        """
        from torchvision import datasets

        constructor = getattr(datasets, self.dataset)
        self._check_options(constructor, own)
        arguments = {**self.options, **own}
        folder = os.path.abspath(at_home(self.root))  # noqa: PTH100 (keeps links)
        try:
            return constructor(folder, **arguments, **_no_download(constructor))
        except (RuntimeError, OSError, ImportError, ValueError) as error:
            if isinstance(error, ImportError) or not self.download:
                raise self._missing(error) from error
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with impatient():
                return constructor(folder, **arguments, download=True)
        except (RuntimeError, OSError, ValueError, TypeError) as error:
            raise BadInputError(
                f"{self.dataset} could not be downloaded ({first_line(error)}): without a network "
                f"put its files ({self._looked_for()}) into target.root={self.root}"
            ) from error

    def _check_options(self, constructor: type, own: Mapping[str, Any]) -> None:
        kinds = constructor.__mro__[:2]  # EMNIST passes its arguments on to MNIST
        known = {name for kind in kinds for name in inspect.signature(kind).parameters}
        known -= {*OURS, *own, "args", "kwargs", "loader", "transforms"}
        for key in self.options:
            check_known(f"option of {self.dataset}", key, known)
        if self.dataset == "EMNIST" and "split" not in self.options:
            raise BadInputError("EMNIST needs target.options.split, such as letters or balanced")

    def _looked_for(self) -> str:
        return ", ".join(files_of(self.dataset, self.options))

    def _missing(self, error: Exception) -> BadInputError:
        if isinstance(error, ImportError) or "is not found" in str(error):
            return BadInputError(f"{self.dataset} cannot be read: {first_line(error)}")
        if "Unknown value" in str(error):
            return BadInputError(f"{self.dataset}: {first_line(error)}")
        return BadInputError(
            f"{self.dataset} is not in {self.root}, or not whole (looked for {self._looked_for()}):"
            " give target.root, or target.download=true to fetch it where there is a network"
        )


class DatasetExamples(DecodedExamples):
    """The images of torchvision's dataset objects, decoded when they are read."""

    def __init__(self, parts: Sequence[Any], used: NDArray[np.int64], name: str) -> None:
        """Join the parts; labels become places in `used` (n_classes,).

        Raises:
            BadInputError: a part has a class that is not in `used`.
        """
        numbers = [labels_of(part) for part in parts]
        self.parts, self.name = parts, name
        self.starts = np.cumsum([0, *(len(n) for n in numbers)])
        every = np.concatenate(numbers)
        new = np.setdiff1d(every, used)
        if len(new):
            raise BadInputError(f"{name}: test has classes that train lacks: {new[0]}")
        self.labels = np.searchsorted(used, every).astype(np.int64)

    def image(self, place: int) -> NDArray[np.uint8]:
        """See `DecodedExamples.image`."""
        part = int(np.searchsorted(self.starts, place, side="right")) - 1
        try:
            return as_array(self.parts[part][place - int(self.starts[part])][0])
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
            raise BadInputError(f"{self.name}: image {place}: {first_line(error)}") from error


def labels_of(part: Any) -> NDArray[np.int64]:
    """Return the class number (n,) of each example, without decoding images."""
    if type(part).__name__ == "PCAM":  # labels are in a separate file
        with part.h5py.File(part._base_folder / part._FILES[part._split]["targets"][0]) as file:
            return np.asarray(file["y"]).reshape(-1).astype(np.int64)
    key = next((name for name in LABELS if getattr(part, name, None) is not None), None)
    values = getattr(part, key) if key else [part[i][1] for i in range(len(part))]
    if key in ("_samples", "samples"):
        values = [label for _, label in values]
    if any(value is None for value in values[:1]):
        raise BadInputError(f"{type(part).__name__} is there without its test labels")
    numbers = np.asarray(values)
    return (numbers[:, 0] if numbers.ndim == 2 else numbers).astype(np.int64)


def class_names(part: Any, n_classes: int) -> tuple[str, ...]:
    """Return torchvision's names of the classes, or their numbers if it has no distinct names."""
    told = getattr(part, "classes", None) or getattr(part, "categories", None) or ()
    names = [name if isinstance(name, str) else ", ".join(name) for name in told]
    if len(names) < n_classes or len(set(names)) < len(names):
        return tuple(str(number) for number in range(n_classes))
    return tuple(names)


def _no_download(constructor: type) -> dict[str, bool]:
    """Return the argument that prevents a constructor from downloading, if it takes one."""
    parameters = inspect.signature(constructor).parameters
    takes = "download" in parameters or "kwargs" in parameters
    return {"download": False} if takes else {}


@contextmanager
def impatient() -> Iterator[None]:
    """Set the default timeout of sockets to `PATIENCE` inside the context."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
