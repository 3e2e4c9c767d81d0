"""Finding image files by the paths in a table: with backslashes, other case, or no ending."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from transfergrid.data.content_splits import named
from transfergrid.data.images.image_kinds import is_image
from transfergrid.records.errors import BadInputError


class Places:
    """The files below a folder, found by paths as a table spells them."""

    def __init__(self, root: Path) -> None:
        """Keep the folder; subfolders are listed only when needed."""
        self.root = root
        self._listed: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str | None:
        """Return the path of the file that is meant, relative to the root; None if there is none.

        A file of exactly this name comes first, even a broken link. Otherwise backslashes separate
        folders, case and the Unicode composition of accents are ignored, and an image's ending may
        be missing.

        Raises:
            BadInputError: several files may be meant.
        """
        if is_there(self.root / name):
            return name
        place: PurePosixPath | None = PurePosixPath()
        *folders, last = PurePosixPath(name.replace("\\", "/")).parts or ("",)
        for folder in folders:
            place = self._step(name, place, folder) if place is not None else None
        if place is None:
            return None
        found = self._step(name, place, last)
        if found is None or not is_there(self.root / found):
            found = self._chosen(name, place, last, self._without_ending(place))
        return None if found is None else str(found)

    def _step(self, name: str, place: PurePosixPath, part: str) -> PurePosixPath | None:
        if part in ("/", ".."):
            return place / part
        return self._chosen(name, place, part, self._names(place))

    def _chosen(
        self, name: str, place: PurePosixPath, part: str, known: Mapping[str, Sequence[str]]
    ) -> PurePosixPath | None:
        found = known.get(_key(part), ())
        if len(found) > 1 and part not in found:
            some = named([str(place / one) for one in found])
            raise BadInputError(f"{name} may be any of {some}: write it out")
        return place / (part if part in found else found[0]) if found else None

    def _names(self, place: PurePosixPath) -> dict[str, list[str]]:
        """Return the names in a folder, by key."""
        if str(place) not in self._listed:
            self._listed[str(place)] = _by_key((n, n) for n in _in(self.root / place))
        return self._listed[str(place)]

    def _without_ending(self, place: PurePosixPath) -> dict[str, list[str]]:
        """Return a folder's images by the keys of their stems."""
        if f"{place}/*" not in self._listed:
            images = [n for names in self._names(place).values() for n in names if is_image(n)]
            self._listed[f"{place}/*"] = _by_key((PurePosixPath(n).stem, n) for n in images)
        return self._listed[f"{place}/*"]


def is_there(place: Path) -> bool:
    """Return whether there is a file, or a broken link, at this path."""
    try:
        return place.is_file() or (place.is_symlink() and not place.exists())
    except OSError:  # a name that no file can have
        return False


def _in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (OSError, ValueError):
        return []


def _by_key(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for spelled, name in pairs:
        found.setdefault(_key(spelled), []).append(name)
    return found


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
