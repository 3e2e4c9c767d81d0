"""Which files are images: by the endings of their names, or else by their first bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from transfergrid.records.files.fingerprints import file_facts

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".pgm", ".ppm", ".pbm", ".pnm"),
)
"""Endings that the first release already read."""
LATER = (".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".mpo", ".dib")
NOT_READ = (
    *(".dcm", ".dicom", ".nii", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf"),
    *(".raw", ".psd", ".xcf", ".svg", ".eps", ".exr", ".hdr", ".npy", ".mat"),
)
"""Endings of image formats that are not read; some of these files begin like a TIFF."""
JUNK = frozenset({"__MACOSX"})
"""Folders that programs leave behind; they contain no examples."""
LEFT_BEHIND = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
"""Files that programs leave behind."""

HEAD_BYTES = 132
HEAD_KIND = "head/1"
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"
    ),
}


def is_image(name: str) -> bool:
    """Return whether a file is an image, judged by its name."""
    return _suffix(name) in (*SUFFIXES, *LATER)


def is_junk(name: str) -> bool:
    """Return whether a path below a dataset's folder is inside a folder of `JUNK`."""
    return not JUNK.isdisjoint(name.split("/"))


def _is_systems(name: str) -> bool:
    return PurePosixPath(name).name.lower() in LEFT_BEHIND


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def kind_of(head: bytes) -> str:
    """Return the kind of image that a file's first bytes indicate; "" if unknown."""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[128:132] == b"DICM":
        return "DICOM"
    return _BRANDS.get(head[8:12], "") if head[4:8] == b"ftyp" else ""


NEEDED = {
    "HEIC": "pip install pillow-heif",
    "AVIF": "pip install --upgrade pillow",
    "JPEG 2000": "pip install --upgrade pillow",
}
"""By kind: the command that makes Pillow read it, for kinds that not every Pillow reads."""


def head_kind(file: Path) -> str:
    """Return the kind of image of a file, by its first bytes; see `kind_of`."""
    with file.open("rb") as stream:
        return kind_of(stream.read(HEAD_BYTES))


@dataclass(frozen=True)
class Kinds:
    """Files by kind, in the given order."""

    images: tuple[str, ...]
    not_read: tuple[str, ...]
    """Images of kinds that are not read."""
    others: tuple[str, ...]
    """Other files, without those that operating systems leave behind."""


def sorted_by_kind(root: Path, names: Iterable[str]) -> Kinds:
    """Sort files into images and others, by their names or else by their first bytes.

    Args:
        root: an absolute folder.
        names: paths relative to it.

    Raises:
        BadInputError: a file cannot be read.
    """
    named = [name for name in names if not _is_systems(name)]
    unsaid = [name for name in named if not is_image(name) and _suffix(name) not in NOT_READ]
    there = [name for name in unsaid if (root / name).is_file()]
    heads = file_facts(root, there, HEAD_KIND, head_kind)
    found: dict[str, list[str]] = {"image": [], "not_read": [], "other": []}
    for name in named:
        kind = heads.get(name, "")
        not_read = _suffix(name) in NOT_READ or kind == "DICOM"
        found["not_read" if not_read else "image" if is_image(name) or kind else "other"].append(
            name
        )
    return Kinds(*(tuple(part) for part in found.values()))
