"""Unpack a ledger from its copy, which may be untrusted: it cannot write outside the given folder.

Every member of the archive must have one of the names that a copy can hold. A link, folder, device
or path that leads elsewhere makes the whole file invalid. Arrays must match the checksum in their
name and are never unpickled.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import tarfile
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray
from typing_extensions import TypedDict

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import arrays, contents
from transfergrid.records.files.border import Reader
from transfergrid.records.ledgers.packing import (
    ABOUT,
    BESIDE,
    DOCUMENT_NAME,
    DOCUMENTS,
    EXACT,
    FORMAT,
)

LARGEST = 1 << 30
"""Largest size of a member in bytes; no real record, log or array is larger."""
_CELL = r"cells/(?P<shelf>[0-9a-f]{2})/(?P=shelf)[0-9a-f]{14}"
_NAMES = re.compile(
    rf"{ABOUT}|({'|'.join(DOCUMENTS)})/(?!\.){DOCUMENT_NAME.pattern}\.json"
    rf"|{_CELL}/(record|arrays)\.json"
    r"|attempts/[0-9a-f]{16}/[0-9]{1,9}/(record\.json|log\.txt)"
    r"|arrays/[0-9a-f]{32}\.npy"
)
"""All names that members of a copy may have."""


class _About(TypedDict):
    format: int
    predictions: str


_about: Reader[_About] = Reader(_About)
_sums: Reader[dict[str, dict[str, str]]] = Reader(dict[str, dict[str, str]])


def unpack(file: Path, folder: Path) -> str:
    """Unpack a copy of a ledger into an empty folder.

    Returns:
        How predictions were packed, one of `packing.KINDS`.

    Raises:
        BadInputError: the file is not a copy, is damaged, or has a newer format; the folder may
            then hold a part of it.
    """
    try:
        contents.status_of(file)
        with file.open("rb") as opened:
            kept = _read(opened, folder, str(file))
        _assemble(folder, str(file))
    except FileNotFoundError:
        raise BadInputError(f"no such file: {file}") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise BadInputError(f"{file} is no whole copy of a ledger: {error}") from None
    return kept


def _read(opened: IO[bytes], folder: Path, file: str) -> str:
    kept = ""
    with lzma.open(opened) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            told = _told(tar, member, file)
            if member.name == ABOUT:
                kept = _predictions(told, file)
            elif not kept:
                raise BadInputError(f"{file} is no copy of a ledger: it begins with no {ABOUT}")
            else:
                place = folder / member.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(told)
    return kept or EXACT


def _told(tar: tarfile.TarFile, member: tarfile.TarInfo, file: str) -> bytes:
    opened = tar.extractfile(member) if member.isreg() else None
    if opened is None or not _NAMES.fullmatch(member.name):
        raise BadInputError(f"{file} is no copy of a ledger: it holds {member.name[:80]!r}")
    if member.size > LARGEST:
        raise BadInputError(f"{file}: {member.name} is too large")
    return opened.read()


def _predictions(told: bytes, file: str) -> str:
    try:
        about = _about(told)
    except BadInputError as error:
        raise BadInputError(f"{file} is no copy of a ledger: {ABOUT}: {error}") from None
    if about["format"] > FORMAT:
        raise BadInputError(
            f"{file} is a copy of format {about['format']}, newer than {FORMAT}, the last that "
            "this transfergrid reads: upgrade it"
        )
    return about["predictions"]


def _assemble(folder: Path, file: str) -> None:
    """Write each cell's arrays beside its record, and remove its list of arrays."""
    there = {path.stem: path for path in (folder / "arrays").glob("*.npy")}
    for path in (folder / "cells").glob("*/*/arrays.json"):
        try:
            told = _sums(path.read_bytes())
        except BadInputError as error:
            raise BadInputError(f"{file}: {path.relative_to(folder)}: {error}") from None
        for kind in BESIDE:
            found = {
                name: _array(there, digest, file) for name, digest in told.get(kind, {}).items()
            }
            if found:
                arrays.save(path.with_name(f"{kind}.npz"), found)
        path.unlink()


def _array(there: dict[str, Path], digest: str, file: str) -> NDArray[Any]:
    if digest not in there:
        raise BadInputError(
            f"{file} is no whole copy of a ledger: arrays/{digest[:32]}.npy is missing"
        )
    told = there[digest].read_bytes()
    if hashlib.sha256(told).hexdigest()[:32] != digest:
        raise BadInputError(f"{file} is damaged: arrays/{digest}.npy is not as it was packed")
    try:
        return arrays.of_npy(told)
    except Exception as error:  # foreign bytes: NumPy raises a dozen kinds
        raise BadInputError(f"{file}: arrays/{digest}.npy: {str(error)[:200]}") from None
