"""Copies of test examples among the training data: found, counted, left out on request.

A search takes up to a minute and every process of a grid needs its result, so results are cached
on disk. The cache key contains the data and the version of the search.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.copies.found import Copies, search_version
from transfergrid.data.domain import LoadedDomain
from transfergrid.data.examples import Examples, Subset
from transfergrid.records.arguments import checked
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents
from transfergrid.records.files.fingerprints import cache_folder, replace_text

Duplicates = Literal["keep", "drop"]
"""Whether to keep pool examples that are copies of test examples."""
SNIPPET = 80
"""How many characters of a text notes show."""


@checked
def without_copies(
    pool: Examples, test: Examples, modality: str, duplicates: Duplicates, key: str
) -> tuple[Examples, dict[str, Any]]:
    """Count the copies between two splits and, if asked to, leave them out of the pool.

    Args:
        pool: examples to learn from.
        test: test examples; always kept complete.
        modality: "image", "text", "vector" or "matrix".
        duplicates: "keep", or "drop" to leave out pool examples that are copies of test examples.
        key: identifies both splits, with their contents and order.

    Returns:
        The pool, and notes: the number of "exact" test examples (with an exact copy in the pool),
        of "near" ones (others with a near copy), of "dropped" pool examples, and "pairs", a few
        copies to look at.

    Raises:
        BadInputError: `duplicates` is neither "keep" nor "drop".
    """
    copies = find_copies(pool, test, modality, key)
    kept = np.flatnonzero(~copies.pool)
    notes = counted(copies)
    notes["dropped"] = len(pool) - len(kept) if duplicates == "drop" else 0
    notes["pairs"] = [
        {"pool": _shown(pool, p), "test": _shown(test, t), "kind": kind}
        for p, t, kind in copies.pairs
    ]
    return (Subset(pool, kept) if notes["dropped"] else pool), notes


def order_key(pool: Iterable[str], test: Iterable[str]) -> str:
    """Return a key for splits whose examples have these hashes, in this order."""
    return hashlib.sha256("\n".join([*pool, "", *test]).encode()).hexdigest()


def with_copies_settled(
    loaded: LoadedDomain, modality: str, mode: Duplicates, key: str, spelled: str
) -> LoadedDomain:
    """Apply `without_copies` to a domain, and add its notes to the domain's.

    Args:
        loaded: the splits with all copies.
        modality: "image", "text", "vector" or "matrix".
        mode: "keep" or "drop".
        key: identifies the splits, with their contents and order.
        spelled: name of the dataset in errors.

    Raises:
        BadInputError: nothing would be left of a class.
    """
    pool, notes = without_copies(loaded.pool, loaded.test, modality, mode, key)
    if not len(pool):
        raise BadInputError(f"{spelled}: duplicates=drop leaves nothing to learn from")
    lost = np.setdiff1d(loaded.pool.labels, pool.labels)
    if len(lost) and loaded.classes:
        name = loaded.classes[lost[0]]
        raise BadInputError(
            f"{spelled}: duplicates=drop leaves nothing of class {name!r}, of which all are copies "
            "of test examples"
        )
    return replace(loaded, pool=pool, notes={**loaded.notes, "duplicates": notes})


def copies_between(source: Examples, target: LoadedDomain, modality: str, key: str) -> Copies:
    """Return the copies of a target's test examples among the examples of a source domain.

    Args:
        source: examples of the source domain.
        target: the target domain, whose test split is searched for.
        modality: "image", "text", "vector" or "matrix".
        key: identifies both domains.
    """
    return find_copies(source, target.test, modality, key)


def counted(copies: Copies) -> dict[str, Any]:
    """Return the numbers of test examples with exact and near copies."""
    return {"exact": int(copies.exact.sum()), "near": int(copies.near.sum())}


def find_copies(pool: Examples, test: Examples, modality: str, key: str) -> Copies:
    """Return the copies between two sets of examples, from the cache if possible."""
    known = remembered(modality, key)
    if known is not None and known.fits(len(pool), len(test)):
        return known
    found = _search(modality)(pool, test)
    _remember(_file(modality, key), found)
    return found


def remembered(modality: str, key: str) -> Copies | None:
    """Return the cached result of a search with this key; None if there is none."""
    file = _file(modality, key)
    try:
        stored = contents.parsed(file.read_text(encoding="utf-8"))
        exact, near, pool = (_mask(*stored[name]) for name in ("exact", "near", "pool"))
        pairs = [(int(p), int(t), str(kind)) for p, t, kind in stored["pairs"]]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return Copies(exact, near, pool, pairs)


def _search(modality: str) -> Callable[[Examples, Examples], Copies]:
    """Return the function that searches for copies in this modality."""
    if modality == "text":
        from transfergrid.data.copies import text_copies

        def texts(pool: Examples, test: Examples) -> Copies:
            return text_copies.find_copies(_all(pool), _all(test))

        return texts
    if modality == "vector":
        from transfergrid.data.copies import vector_copies

        return vector_copies.find_copies
    if modality == "matrix":
        from transfergrid.data.copies import entry_copies

        return entry_copies.find_copies
    from transfergrid.data.copies import image_copies

    return image_copies.find_copies


def _all(examples: Examples) -> list[Any]:
    return list(examples.read(np.arange(len(examples), dtype=np.int64)))


def _file(modality: str, key: str) -> Path:
    version = search_version(modality)
    name = hashlib.sha256(f"{modality}/{version}/{key}".encode()).hexdigest()[:32]
    return cache_folder() / "copies" / f"{name}.json"


def _remember(file: Path, copies: Copies) -> None:
    masks = {"exact": copies.exact, "near": copies.near, "pool": copies.pool}
    stored = {name: [len(mask), np.flatnonzero(mask).tolist()] for name, mask in masks.items()}
    try:
        replace_text(file, json.dumps({**stored, "pairs": copies.pairs}))
    except OSError:
        return  # without the cache the next search only takes longer


def _mask(size: int, places: list[int]) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    mask[places] = True
    return mask


def _shown(examples: Examples, place: int) -> int | str | list[str]:
    """Return what identifies an example for a reader: its file, its text, or its index."""
    if isinstance(examples, Subset):
        return _shown(examples.whole, int(examples.places[place]))
    files = getattr(examples, "files", None)
    if files is not None:
        return "/".join(Path(files[place]).parts[-3:])
    example = examples.read(np.array([place], dtype=np.int64))[0]
    if isinstance(example, str):
        return example[:SNIPPET]
    return [part[:SNIPPET] for part in example] if isinstance(example, tuple) else place
