"""Pack a whole ledger into one small file, such as `results.tar.xz`.

    about.json                     version of this format, and how predictions are packed
    grids/ looks/ scores/          as in the ledger
    cells/ab/<id>/record.json      as in the ledger, byte by byte
    cells/ab/<id>/arrays.json      arrays of predictions.npz and curves.npz: names and checksums
    attempts/<id>/<n>/             as in the ledger
    arrays/<sum>.npy               each distinct array once, named by its checksum

Everything is compressed together, because the records of a study are similar, and the cells of a
target have the same labels. Weights, sources trained here and the cache are left out; they are
recomputed where needed. The same ledger always gives the same file.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from transfergrid.records.errors import BadInputError, writing
from transfergrid.records.files import arrays, contents
from transfergrid.records.ledgers.ledger import Ledger, of_cell
from transfergrid.records.process.living import unique_name
from transfergrid.records.record import Status, from_json, is_newer

ENDING, ABOUT = ".tar.xz", "about.json"
FORMAT = 1
EXACT, ROUNDED, NONE = "exact", "rounded", "none"
KINDS = (EXACT, ROUNDED, NONE)
"""How predictions are packed: exactly; with probabilities rounded to 0.2 % of each; not at all."""
DOCUMENTS = ("grids", "looks", "scores")
BESIDE = ("predictions", "curves")
"""The arrays beside a record."""
_KEPT_BITS = 8
"""Number of mantissa bits that rounding keeps, of the 23 of a float32."""
_OF_TEXTS = {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 24}
_OF_ARRAYS = {**_OF_TEXTS, "lc": 2, "lp": 2, "pb": 2}
"""LZMA settings tuned for numbers of four bytes."""
DOCUMENT_NAME = re.compile(r"[A-Za-z0-9:+._-]{1,100}")


@dataclass
class Packed:
    """What a copy holds: the number of cells, failed attempts and documents."""

    cells: int = 0
    failed: int = 0
    documents: int = 0


class _Streams:
    """Several concatenated xz streams, which every xz reader decompresses as one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._place = file, 0
        self._now: lzma.LZMAFile | None = None

    def begin(self, how: Mapping[str, int]) -> None:
        """End the current stream, if there is one, and begin another with these LZMA settings."""
        self.end()
        self._now = lzma.LZMAFile(self._file, "wb", filters=[how])  # noqa: SIM115

    def end(self) -> None:
        """End the current stream, if there is one."""
        if self._now is not None:
            self._now.close()

    def write(self, told: bytes) -> int:
        """Write bytes to the current stream; return how many."""
        assert self._now is not None
        self._place += len(told)
        return self._now.write(told)

    def tell(self) -> int:
        """Return how many uncompressed bytes were written to all streams."""
        return self._place


def pack(ledger: Ledger, file: Path, predictions: str = EXACT) -> Packed:
    """Write a whole copy of a ledger to a file, which appears complete or not at all.

    Damaged parts are left out and named in warnings.

    Args:
        ledger: the ledger to copy; it is not changed.
        file: the file to write; an existing one is replaced.
        predictions: one of `KINDS`.

    Raises:
        BadInputError: there is no ledger, or the file cannot be written.
    """
    ledger.check_exists()
    draft = file.absolute().parent / f".{file.name}-{unique_name()}"
    try:
        with writing(file):
            with draft.open("wb") as stream:
                packed = _write(_Streams(stream), ledger, predictions)
            draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return packed


def _write(streams: _Streams, ledger: Ledger, predictions: str) -> Packed:
    """Write all texts as one xz stream, then all arrays as another; return the counts."""
    packed, distinct = Packed(), dict[str, tuple[str, str, str]]()
    streams.begin(_OF_TEXTS)
    with tarfile.open(fileobj=streams, mode="w", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        _add(tar, ABOUT, json.dumps({"format": FORMAT, "predictions": predictions}).encode())
        for name, text in _documents(ledger):
            _add(tar, name, text)
            packed.documents += 1
        told: dict[str, dict[str, dict[str, str]]] = {}
        for identity, text in _cells(ledger):
            _add(tar, f"{place_of(identity)}/record.json", text)
            told[identity] = _told(ledger, identity, predictions, distinct)
            packed.cells += 1
        for name, text in _attempts(ledger):
            _add(tar, name, text)
            packed.failed += name.endswith(".json")
        for identity, sums in told.items():
            _add(tar, f"{place_of(identity)}/arrays.json", json.dumps(sums).encode())
        streams.begin(_OF_ARRAYS)
        for digest, (identity, kind, name) in sorted(
            distinct.items(), key=lambda one: one[1][::-1]
        ):
            _add(
                tar,
                f"arrays/{digest}.npy",
                as_npy(beside(ledger, identity, kind, predictions)[name]),
            )
    streams.end()
    return packed


def _told(
    ledger: Ledger, identity: str, predictions: str, distinct: dict[str, tuple[str, str, str]]
) -> dict[str, dict[str, str]]:
    """Return the checksums of a cell's arrays, by kind and name.

    For each new checksum it adds to `distinct` where to read the array: cell, kind and name.
    """
    told: dict[str, dict[str, str]] = {}
    for kind in BESIDE:
        for name, array in beside(ledger, identity, kind, predictions).items():
            digest = hashlib.sha256(as_npy(array)).hexdigest()[:32]
            distinct.setdefault(digest, (identity, kind, name))
            told.setdefault(kind, {})[name] = digest
    return told


def beside(ledger: Ledger, identity: str, kind: str, predictions: str) -> dict[str, NDArray[Any]]:
    """Return a cell's predictions or curves as they are packed; none if absent or damaged."""
    if (kind, predictions) == ("predictions", NONE):
        return {}
    path = ledger.folder(identity) / f"{kind}.npz"
    try:
        found = arrays.load(path)
    except FileNotFoundError:
        return {}
    except BadInputError as error:
        ledger.leave_out(path, error)
        return {}
    if predictions == ROUNDED and "probabilities" in found:
        found["probabilities"] = rounded(found["probabilities"])
    return found


def rounded(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Return probabilities (n, classes), rounded to 0.2 % of each.

    If rounding would change an example's most probable class, its probabilities stay exact.
    """
    exact = np.ascontiguousarray(probabilities, dtype=np.float32)
    left = np.uint32(23 - _KEPT_BITS)
    half = np.uint32(1) << (left - np.uint32(1))
    found = (((exact.view(np.uint32) + half) >> left) << left).view(np.float32)
    if exact.ndim == 2 and exact.shape[1]:
        moved = found.argmax(axis=1) != exact.argmax(axis=1)
        found[moved] = exact[moved]
    return found


def as_npy(array: NDArray[Any]) -> bytes:
    """Return the bytes of an npy file with this array."""
    stream = io.BytesIO()
    npy.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


def place_of(identity: str) -> str:
    """Return the path of a cell's folder, relative to the ledger's folder."""
    return f"cells/{identity[:2]}/{identity}"


def _cells(ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    """Yield the identity and the record (as on disk) of each done cell, ordered by identity."""
    for identity in sorted(ledger.listed()):
        text = whole_record(ledger, identity)
        if text is not None:
            yield identity, text


def whole_record(ledger: Ledger, identity: str) -> bytes | None:
    """Return a done cell's record as it is on disk; None, with a warning, if it is not valid.

    A record of a newer schema is returned too.
    """
    text = b""
    try:
        text = contents.read_bytes(ledger.folder(identity) / "record.json")
        of_cell(from_json(text), identity, Status.DONE)
    except (OSError, BadInputError) as error:
        if isinstance(error, OSError) or not is_newer(text):
            ledger.leave_out(ledger.folder(identity), error)
            return None
    return text


def _attempts(ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    for identity in ledger.tried():
        for number in ledger.attempts(identity):
            for name in ("record.json", "log.txt"):
                path = ledger.attempts_folder(identity) / str(number) / name
                yield from _read(ledger, path, f"attempts/{identity}/{number}/{name}")


def _documents(ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    for kind in DOCUMENTS:
        for path in sorted((ledger.root / kind).glob("*.json")):
            if DOCUMENT_NAME.fullmatch(path.name):
                yield from _read(ledger, path, f"{kind}/{path.name}")


def _read(ledger: Ledger, path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    try:
        yield name, contents.read_bytes(path)
    except FileNotFoundError:
        return
    except OSError as error:
        ledger.leave_out(path, error)


def _add(tar: tarfile.TarFile, name: str, text: bytes) -> None:
    member = tarfile.TarInfo(name)  # without time, owner or machine, so that files are reproducible
    member.size = len(text)
    tar.addfile(member, io.BytesIO(text))
