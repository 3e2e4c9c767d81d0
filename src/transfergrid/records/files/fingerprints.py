"""Fingerprints of the contents of files and folders, independent of their location.

Hashing a large folder is slow, and every process of a grid needs it. So facts about files (their
hash, whether an image decodes) are cached on disk, and are valid while size and time stamps stay
the same. A cache that is damaged or cannot be written is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents

PACKAGE = "package:"
"""Prefix of a path inside an installed Python package."""
CHUNK_BYTES = 1 << 20
SETTLED_SECONDS = 2.0
"""A file changed more recently than this is not cached: within one tick of a coarse file system
clock it may change again without a new time stamp."""

Stamp = list[int]
Memory = dict[str, tuple[Stamp, dict[str, str]]]


def fingerprint(path: str | Path) -> str:
    """Return 16 hex digits that identify the bytes of a file, or the visible files of a folder.

    A folder's fingerprint covers the relative path and the contents of every file, except files
    with a dot at the start of their name or of a parent folder's name, and except broken links.

    Raises:
        BadInputError: the path does not exist, or a file cannot be read.
    """
    root = existing(path)
    if root.is_file():
        return content_hashes(root, [""])[""][:16]
    hashes = content_hashes(root, (name for name in visible_files(root) if (root / name).is_file()))
    tree = hashlib.sha256()
    for name in sorted(hashes, key=os.fsencode):
        tree.update(hashes[name].encode() + b" " + os.fsencode(name) + b"\0")
    return tree.hexdigest()[:16]


def existing(path: str | Path) -> Path:
    """Return an absolute path, with `~` and `package:NAME/rest` (in an installed package) expanded.

    Raises:
        BadInputError: the path does not exist.
    """
    if is_packaged(path):
        path = _in_package(str(path).removeprefix(PACKAGE))
    absolute = Path(os.path.abspath(at_home(path)))  # noqa: PTH100 (keeps links)
    if not str(path) or not absolute.exists():
        raise BadInputError(f"no such file or folder: {path}")
    return absolute


def at_home(path: str | Path) -> Path:
    """Return a path with `~` expanded; `~name` of an unknown user is left as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (which raises for such a user)


def is_packaged(path: object) -> bool:
    """Return whether a path has the form `package:NAME/rest`."""
    return isinstance(path, str) and path.startswith(PACKAGE)


def _in_package(place: str) -> Path:
    """Return the path of `NAME/rest`; the package is found without importing it."""
    name, _, rest = place.partition("/")
    try:  # a dotted name is refused, because finding it would import the parent packages
        found = find_spec(name) if name.isidentifier() else None
    except ValueError:  # a module without a spec, such as `__main__`
        found = None
    if found is None or not found.submodule_search_locations:
        distribution = name.replace("_", "-")
        raise BadInputError(
            f"{PACKAGE}{place}: there is no such package here; pip install {distribution}"
        )
    return Path(next(iter(found.submodule_search_locations))) / rest


def visible_files(root: Path) -> list[str]:
    """Return the sorted relative POSIX paths of all non-hidden files below a folder.

    Links to folders are followed, except into a folder that contains the link. Broken links are
    included; pipes and sockets are not.
    """
    return sorted(_walk(root, "", frozenset()))


def _walk(folder: Path, prefix: str, above: frozenset[str]) -> Iterable[str]:
    here = os.path.realpath(folder)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is(entry.is_dir):
                yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", above | {here})
            elif _is(entry.is_file) or entry.is_symlink():
                yield prefix + entry.name


def _is(asked: Callable[[], bool]) -> bool:
    try:
        return asked()
    except OSError:  # a link to itself
        return False


def content_hashes(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 (64 hex digits) of each of these files below `root`."""
    return file_facts(root, names, "sha256", _sha256)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def file_facts(
    root: Path, names: Iterable[str], kind: str, measure: Callable[[Path], str]
) -> dict[str, str]:
    """Return `measure(root / name)` for each name; only new or changed files are measured.

    Args:
        root: an absolute folder, or an absolute file with the single name ``""``.
        names: paths relative to `root`.
        kind: cache key of the measure; it must change whenever `measure` may give other results.
        measure: a function of a file's contents; called from several threads.

    Raises:
        BadInputError: a file cannot be read.
    """
    stamps = {name: _stamp(root / name) for name in names}
    memory = _remembered(root)
    facts = {n: memory[n][1][kind] for n, s in stamps.items() if _knows(memory, n, s, kind)}
    unknown = [name for name in stamps if name not in facts]
    if unknown:
        with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
            measured = pool.map(lambda name: _measured(measure, root / name), unknown)
            facts.update(zip(unknown, measured, strict=True))
        settled = [name for name in unknown if _settled(root / name, stamps[name])]
        _remember(root, {n: (stamps[n], {kind: facts[n]}) for n in settled})
    return facts


def _stamp(file: Path) -> Stamp:
    try:
        status = contents.status_of(file)
    except OSError as error:
        raise BadInputError(f"cannot read {file}: {error.strerror}") from error
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _measured(measure: Callable[[Path], str], file: Path) -> str:
    try:
        return measure(file)
    except OSError as error:
        raise BadInputError(f"cannot read {file}: {error.strerror or error}") from error


def _settled(file: Path, stamp: Stamp) -> bool:
    """Return whether a file did not change while it was read, and is older than a moment."""
    return _stamp(file) == stamp and max(stamp[1:]) / 1e9 < time.time() - SETTLED_SECONDS


def _knows(memory: Memory, name: str, stamp: Stamp, kind: str) -> bool:
    return name in memory and memory[name][0] == stamp and kind in memory[name][1]


def cache_folder() -> Path:
    """Return the folder of cached facts: `$TRANSFERGRID_CACHE`, or the user's cache folder."""
    if own := os.environ.get("TRANSFERGRID_CACHE"):
        return at_home(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transfergrid"


def _memory_file(root: Path) -> Path:
    return cache_folder() / "files" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.json"


def _remembered(root: Path) -> Memory:
    try:
        known = contents.parsed(_memory_file(root).read_text(encoding="utf-8"))
        return {
            n: ([int(part) for part in stamp], _text(facts)) for n, (stamp, facts) in known.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _text(facts: dict[Any, Any]) -> dict[str, str]:
    return {str(kind): str(fact) for kind, fact in facts.items()}


def _remember(root: Path, news: Memory) -> None:
    """Add facts to the cache for `root`; if two processes write at once, some may be lost."""
    if not news:
        return
    memory = _remembered(root)
    for name, (stamp, facts) in news.items():
        old = memory.get(name)
        memory[name] = (stamp, {**old[1], **facts} if old and old[0] == stamp else facts)
    try:
        replace_text(_memory_file(root), json.dumps(memory))
    except OSError:
        return  # without a cache everything is slower, but correct


def replace_text(file: Path, text: str) -> None:
    """Replace the text of a file atomically, so that no reader sees an incomplete file.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).replace(file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
