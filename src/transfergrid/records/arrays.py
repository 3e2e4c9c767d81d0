"""The arrays beside a record: per-example predictions and curves, as npz without pickles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from transfergrid.records import contents
from transfergrid.records.errors import BadInputError

PREDICTIONS = {
    "probabilities": "(n, classes) float32, in the order of `data.classes`; rows sum to 1",
    "labels": "(n,) int64, the true classes, in the order of the test split",
    "groups": "(n,) text, the group of each example; absent where the target has none",
    "clusters": "(n,) int32, equal for examples that depend on each other; absent where groups, if "
    "there are any, stand for it",
}
CURVES = {
    "train_step": "(t,) batches seen",
    "train_loss": "(t,) training loss at these steps",
    "examples_seen": "(t,) labelled target examples seen by these steps",
    "validation_step": "(v,) batches seen when the validation part was scored",
    "validation_score": "(v,) the deciding metric there",
    "validation_loss": "(v,) the loss there",
}


class Predictions(NamedTuple):
    """What a cell said of each test example, in the order of the target's test split."""

    probabilities: NDArray[np.float32]
    """(n, classes); each row sums to 1."""
    labels: NDArray[np.int64]
    """(n,), the true classes."""
    groups: NDArray[np.str_] | None = None
    """(n,), the group (hospital, domain, patient) of each example, where there are groups."""
    clusters: NDArray[Any] | None = None
    """(n,), equal for examples that depend on each other (of one patient, author, film); None where
    groups, if there are any, stand for it, as they do in all older files."""

    def checked(self) -> Predictions:
        """Return them in the types that are kept on disk.

        Raises:
            ValueError: the shapes do not fit together.
        """
        probabilities = np.asarray(self.probabilities, dtype=np.float32)
        labels = np.asarray(self.labels, dtype=np.int64)
        if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
            raise ValueError(f"probabilities {probabilities.shape} and labels {labels.shape}")
        groups = None if self.groups is None else np.asarray(self.groups, dtype=np.str_)
        if groups is not None and groups.shape != labels.shape:
            raise ValueError(f"groups {groups.shape} for labels {labels.shape}")
        clusters = None if self.clusters is None else _codes(self.clusters)
        if clusters is not None and clusters.shape != labels.shape:
            raise ValueError(f"clusters {clusters.shape} for labels {labels.shape}")
        return Predictions(probabilities, labels, groups, clusters)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what there is, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def correct(self) -> NDArray[np.bool_]:
        """Return, for each test example, whether its most probable class is the true one."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.labels)

    def dependent(self) -> NDArray[np.int32] | None:
        """Return the cluster (n,) of each test example, from 0 on; None where all are independent.

        Groups that were not declared to be subpopulations are clusters: patients that are taken for
        independent make errors much too small, subpopulations that are not make them too large.
        """
        told = self.groups if self.clusters is None else self.clusters
        if told is None:
            return None
        codes = _codes(told)
        return None if len(codes) == 0 or codes.max() + 1 == len(codes) else codes

    def only(self, rows: NDArray[np.int64]) -> Predictions:
        """Return the predictions of some examples."""
        kept = [None if value is None else value[rows] for value in self]
        return Predictions(*cast(Any, kept))


def _codes(names: NDArray[Any]) -> NDArray[np.int32]:
    return np.unique(names, return_inverse=True)[1].astype(np.int32)


SLACK = 0.02
"""By how much the probabilities of an example may miss a sum of 1, as in half precision."""


def _check_values(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Raise `ValueError` unless these are probabilities of known classes, of one example or more.

    NaN fails every comparison, and so it does each of these.
    """
    n, classes = probabilities.shape
    if not n or not classes:
        raise ValueError(f"probabilities {probabilities.shape}: there are no examples")
    if not (probabilities.min() >= 0 and probabilities.max() <= 1 + SLACK):
        raise ValueError("probabilities are not all from 0 to 1")
    if not np.abs(probabilities.sum(axis=1) - 1).max() <= SLACK:
        raise ValueError("the probabilities of an example do not sum to 1")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels {labels.min()} to {labels.max()} for {classes} classes")


def predictions(path: Path) -> Predictions:
    """Read what a cell said of each test example.

    Raises:
        FileNotFoundError: it was not kept.
        BadInputError: the file is damaged, or holds something else.
    """
    kept = _load(path)
    if not {"probabilities", "labels"} <= kept.keys() <= PREDICTIONS.keys():
        raise BadInputError(f"it holds {', '.join(kept)}, not probabilities and labels")
    if kept["probabilities"].dtype.kind != "f" or kept["labels"].dtype.kind not in "iu":
        raise BadInputError("probabilities or labels are no numbers")
    if "groups" in kept and kept["groups"].dtype.kind != "U":
        raise BadInputError("groups are no texts")
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is found below
            found = Predictions(**kept).checked()
            _check_values(found.probabilities, found.labels)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    return found


def curves(path: Path) -> dict[str, NDArray[Any]]:
    """Read a cell's curves by name.

    Raises:
        FileNotFoundError: they were not kept.
        BadInputError: the file is damaged, or holds something else.
    """
    kept = _load(path)
    lengths: dict[str, set[int]] = {}
    for name, values in kept.items():
        if name not in CURVES:
            continue
        if values.ndim != 1 or values.dtype.kind not in "fiu":
            raise BadInputError(f"{name} is no list of numbers")
        if name in FINITE and not np.isfinite(values).all():
            raise BadInputError(f"{name} is not finite throughout")
        lengths.setdefault(_axis(name), set()).add(len(values))
    uneven = [axis for axis, found in lengths.items() if len(found) > 1]
    if uneven or ("validation_score" in kept) > ("validation_step" in kept):
        raise BadInputError(f"curves of {uneven[0] if uneven else 'validation'} differ in length")
    return kept


FINITE = ("train_step", "examples_seen", "validation_step", "validation_score")
"""Curves without which the others have no place; a loss may be infinite."""


def _axis(name: str) -> str:
    return "validation" if name.startswith("validation") else "training"


class Packed(NamedTuple):
    """The items that a cell got right, a bit each."""

    bits: bytes
    n: int
    items: str
    """Stands for the test items: equal for cells that were tested on the same ones."""
    clusters: str = ""
    """Stands for what they depend on, likewise; empty where they are independent."""

    def unpacked(self) -> NDArray[np.uint8]:
        """Return 1 for each item (n,) that was right, else 0."""
        items: NDArray[np.uint8] = unpacked([self])[0]
        return items


def unpacked(cells: Sequence[Packed]) -> NDArray[np.uint8]:
    """Return 1 for each item (cells, n) that was right, else 0, of cells with the same items."""
    bits = np.frombuffer(b"".join(cell.bits for cell in cells), dtype=np.uint8)
    return np.unpackbits(bits.reshape(len(cells), -1), axis=1, count=cells[0].n)


def packed(said: Predictions) -> Packed:
    """Return in bits which items were right."""
    bits = np.packbits(said.correct()).tobytes()
    return Packed(bits, len(said.labels), items_of(said), clusters_of(said))


def items_of(said: Predictions) -> str:
    """Return 16 hex digits that stand for the test items, by their classes in order."""
    labels = np.ascontiguousarray(said.labels, dtype=np.int64)
    return hashlib.sha256(labels.tobytes()).hexdigest()[:16]


def clusters_of(said: Predictions) -> str:
    """Return 16 hex digits that stand for what the test items depend on; empty if for nothing."""
    found = said.dependent()
    return "" if found is None else hashlib.sha256(found.tobytes()).hexdigest()[:16]


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name."""
    np.savez_compressed(path, **cast(Any, dict(arrays)))


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Read arrays by name; raises `FileNotFoundError`, or `BadInputError` for a damaged file."""
    try:
        contents.status_of(path)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise
    except Exception as error:  # foreign bytes: zipfile, zlib and numpy raise some fifteen kinds
        raise BadInputError(" ".join(str(error).split())[:200] or type(error).__name__) from None
