"""The arrays beside a record: per-example predictions and curves, as npz without pickles."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from transfergrid.records.errors import BadInputError, as_line
from transfergrid.records.files import contents

PREDICTIONS = {
    "probabilities": "(n, classes) float32, in the order of `data.classes`; rows sum to 1",
    "values": "(n, outputs) float32, in the order of `data.outputs`; of a target of numbers, which "
    "has no probabilities",
    "labels": "(n,) int64, the true classes, in the order of the test split; of numbers (n,) or "
    "(n, outputs) float32, the true ones",
    "groups": "(n,) text, the group of each example; absent where the target has none",
    "clusters": "(n,) int32, equal for examples that depend on each other; absent where groups, if "
    "there are any, stand for it",
}
WITH_EITHER = PREDICTIONS.keys() - {"probabilities", "values"}
"""Arrays that may be stored in addition to the probabilities or values."""
CURVES = {
    "train_step": "(t,) batches seen",
    "train_loss": "(t,) training loss at these steps",
    "examples_seen": "(t,) labelled target examples seen by these steps",
    "validation_step": "(v,) batches seen when the validation part was scored",
    "validation_score": "(v,) the deciding metric there",
    "validation_loss": "(v,) the loss there",
}


class Predictions(NamedTuple):
    """The predictions of a cell for the test examples, in the order of the target's test split."""

    probabilities: NDArray[np.float32]
    """(n, classes); each row sums to 1. For targets of numbers it holds the `values`."""
    labels: NDArray[Any]
    """(n,) int64, true classes. For targets of numbers (n,) or (n, outputs) float32, true ones."""
    groups: NDArray[np.str_] | None = None
    """(n,), the group (hospital, domain, patient) of each example; None without groups."""
    clusters: NDArray[Any] | None = None
    """(n,), equal for examples that depend on each other (same patient, author, film).

    None if the groups, if any, are the clusters, as in all older files.
    """

    def checked(self) -> Predictions:
        """Return the predictions with the types that are stored on disk.

        Raises:
            ValueError: the shapes do not fit together.
        """
        said = np.asarray(self.probabilities, dtype=np.float32)
        labels = np.asarray(self.labels, dtype=np.float32 if self.of_numbers else np.int64)
        one, each = said.shape[:1], said.shape
        if said.ndim != 2 or labels.shape not in ((one, each) if self.of_numbers else (one,)):
            raise ValueError(f"{self._said} {said.shape} and labels {labels.shape}")
        if self.of_numbers and labels.shape == one and each[1] != 1:
            raise ValueError(f"{self._said} {said.shape} and labels {labels.shape}")
        groups = None if self.groups is None else np.asarray(self.groups, dtype=np.str_)
        if groups is not None and groups.shape != one:
            raise ValueError(f"groups {groups.shape} for labels {labels.shape}")
        clusters = None if self.clusters is None else _codes(self.clusters)
        if clusters is not None and clusters.shape != one:
            raise ValueError(f"clusters {clusters.shape} for labels {labels.shape}")
        return Predictions(said, labels, groups, clusters)

    @property
    def of_numbers(self) -> bool:
        """Whether numbers are predicted, not classes; the labels are then floats, not indices."""
        return bool(np.asarray(self.labels).dtype.kind == "f")

    @property
    def values(self) -> NDArray[np.float32]:
        """The predicted numbers (n, outputs), if the target has numbers."""
        return self.probabilities

    @property
    def _said(self) -> str:
        return "values" if self.of_numbers else "probabilities"

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that are not None, by the names in `PREDICTIONS`."""
        told = self._asdict()
        told = {self._said: told.pop("probabilities"), **told}
        return {name: value for name, value in told.items() if value is not None}

    def correct(self) -> NDArray[np.bool_]:
        """Return (n,) whether the most probable class of each test example is the true one."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.labels)

    def dependent(self) -> NDArray[np.int32] | None:
        """Return the cluster (n,) of each test example, from 0 on; None if all are independent.

        If `clusters` is None, the groups, if any, are the clusters. Treating the examples of a
        patient as independent makes standard errors much too small; treating subpopulations as
        clusters makes them too large, so `clusters` is set for groups that are subpopulations.
        """
        told = self.groups if self.clusters is None else self.clusters
        if told is None:
            return None
        codes = _codes(told)
        return None if len(codes) == 0 or codes.max() + 1 == len(codes) else codes

    def only(self, rows: NDArray[np.int64]) -> Predictions:
        """Return the predictions for these examples only."""
        kept = [None if value is None else value[rows] for value in self]
        return Predictions(*cast(Any, kept))


def _codes(names: NDArray[Any]) -> NDArray[np.int32]:
    return np.unique(names, return_inverse=True)[1].astype(np.int32)


SLACK = 0.02
"""Tolerance for the sum of an example's probabilities, which half precision makes inexact."""


def _check_values(said: Predictions) -> None:
    """Raise `ValueError` unless the probabilities and class labels are valid, with some examples.

    NaN fails every comparison, so the conditions are written such that NaN is an error.
    """
    probabilities, labels = said.probabilities, said.labels
    n, classes = probabilities.shape
    if not n or not classes:
        raise ValueError(f"probabilities {probabilities.shape}: there are no examples")
    if not (probabilities.min() >= 0 and probabilities.max() <= 1 + SLACK):
        raise ValueError("probabilities are not all from 0 to 1")
    if not np.abs(probabilities.sum(axis=1) - 1).max() <= SLACK:
        raise ValueError("the probabilities of an example do not sum to 1")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels {labels.min()} to {labels.max()} for {classes} classes")


def _check_numbers(said: Predictions) -> None:
    """Raise `ValueError` unless values and labels are finite, with one or more examples."""
    for name, values in (("values", said.values), ("labels", said.labels)):
        if not values.size:
            raise ValueError(f"{name} {values.shape}: there are no examples")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} are not finite throughout")


def predictions(path: Path) -> Predictions:
    """Read the predictions of a cell for the test examples.

    Raises:
        FileNotFoundError: they were not kept.
        BadInputError: the file is damaged, or holds something else.
    """
    kept = load(path)
    name, others = ("values", "f") if "values" in kept else ("probabilities", "iu")
    if not {name, "labels"} <= kept.keys() <= {name, *WITH_EITHER}:
        raise BadInputError(f"it holds {', '.join(kept)}, not {name} and labels")
    if kept[name].dtype.kind != "f" or kept["labels"].dtype.kind not in others:
        raise BadInputError(f"{name} or labels are no numbers")
    if "groups" in kept and kept["groups"].dtype.kind != "U":
        raise BadInputError("groups are no texts")
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # overflow and NaN are checked for below
            found = Predictions(kept.pop(name), **kept).checked()
            (_check_numbers if found.of_numbers else _check_values)(found)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    return found


def curves(path: Path) -> dict[str, NDArray[Any]]:
    """Read a cell's curves by name.

    Raises:
        FileNotFoundError: they were not kept.
        BadInputError: the file is damaged, or holds something else.
    """
    kept = load(path)
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
"""Curves that must be finite, such as the steps; a loss may be infinite."""


def _axis(name: str) -> str:
    return "validation" if name.startswith("validation") else "training"


class Packed(NamedTuple):
    """Which test items a cell got right, one bit per item."""

    bits: bytes
    """The bits; empty if numbers were predicted."""
    n: int
    items: str
    """Digest of the test items: equal for cells that were tested on the same items."""
    clusters: str = ""
    """Digest of the items' clusters; empty if the items are independent."""

    def unpacked(self) -> NDArray[np.uint8]:
        """Return (n,) 1 for each item that was predicted right, else 0."""
        items: NDArray[np.uint8] = unpacked([self])[0]
        return items


def unpacked(cells: Sequence[Packed]) -> NDArray[np.uint8]:
    """Return (cells, n) 1 for each item predicted right, else 0, for cells with the same items.

    Raises:
        BadInputError: numbers were predicted, which are not simply right or wrong.
    """
    kept = [cell.bits for cell in cells]
    if not all(kept):
        raise BadInputError("numbers were predicted: no item is right or wrong")
    bits = np.frombuffer(b"".join(kept), dtype=np.uint8)
    return np.unpackbits(bits.reshape(len(cells), -1), axis=1, count=cells[0].n)


def packed(said: Predictions) -> Packed:
    """Return which items were predicted right, as bits; no bits if numbers were predicted."""
    bits = b"" if said.of_numbers else np.packbits(said.correct()).tobytes()
    return Packed(bits, len(said.labels), items_of(said), clusters_of(said))


def items_of(said: Predictions) -> str:
    """Return 16 hex digits that identify the test items, computed from their labels in order."""
    labels = np.ascontiguousarray(said.labels, dtype=np.float32 if said.of_numbers else np.int64)
    return hashlib.sha256(labels.tobytes()).hexdigest()[:16]


def clusters_of(said: Predictions) -> str:
    """Return 16 hex digits that identify the items' clusters; empty if items are independent."""
    found = said.dependent()
    return "" if found is None else hashlib.sha256(found.tobytes()).hexdigest()[:16]


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name to a compressed npz file."""
    np.savez_compressed(path, **cast(Any, dict(arrays)))


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an npz file, by name.

    It does what `numpy.load` does, but faster: `numpy.load` spends most of its time on opening
    members and parsing headers.

    Raises:
        FileNotFoundError: they were not kept.
        BadInputError: the file is damaged, or holds something else.
    """
    try:
        told = contents.read_bytes(path)
        with zipfile.ZipFile(BytesIO(told)) as kept:
            return {
                member.filename.removesuffix(".npy"): of_npy(
                    _inflated(told, member) or kept.read(member.filename)
                )
                for member in kept.infolist()
            }
    except FileNotFoundError:
        raise
    except Exception as error:  # foreign bytes: zipfile, zlib and numpy raise some fifteen kinds
        raise BadInputError(as_line(error, 200)) from None


_UTF8 = 0x800
"""Zip flag: the name of the member is UTF-8. Other flags need more than inflating."""
_LOCAL = struct.Struct("<4s22xHH")
"""Local header of a zip member: its signature, and the lengths of its name and extra field."""


def _inflated(told: bytes, member: zipfile.ZipInfo) -> bytes | None:
    """Return the contents of a deflated zip member; None if anything is wrong or unusual.

    The caller then uses `zipfile`, which reports what is wrong. `zipfile` is slower: opening one of
    its streams takes longer than inflating most members.
    """
    if member.compress_type != zipfile.ZIP_DEFLATED or member.flag_bits & ~_UTF8:
        return None
    mark, name, extra = _LOCAL.unpack_from(told, member.header_offset)
    start = member.header_offset + _LOCAL.size
    if mark != b"PK\3\4" or told[start : start + name] != member.orig_filename.encode():
        return None
    start += name + extra
    packed = told[start : start + member.compress_size]
    try:
        found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.file_size or 1)
    except zlib.error:
        return None
    whole = len(found) == member.file_size and zlib.crc32(found) == member.CRC
    return found if whole else None


def of_npy(told: bytes) -> NDArray[Any]:
    """Return the array in the bytes of an npy file or npz member; raise whatever NumPy raises."""
    version = npy.read_magic(BytesIO(told))
    start = 10 if version == (1, 0) else 12
    start += int.from_bytes(told[8:start], "little")
    shape, in_columns, kind = _header(told[:start])
    order: Literal["F", "C"] = "F" if in_columns else "C"
    return np.ndarray(shape, kind, told, start, order=order).copy(order)


@lru_cache(maxsize=1024)
def _header(told: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, Fortran order and dtype of an array; raise `ValueError` for pickled objects."""
    stream = BytesIO(told)
    of_version = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, in_columns, kind = of_version[npy.read_magic(stream)](stream)
    if kind.hasobject:
        raise ValueError("it holds objects, which are pickled")
    return shape, in_columns, kind
