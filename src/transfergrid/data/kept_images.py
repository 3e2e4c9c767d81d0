"""A disk cache of images prepared for a network, decoded once and shared by all workers.

They are in the same store as the cached features of frozen layers: memory-mapped, limited in size,
least recently used entries removed first. Images whose values are multiples of 1/255, such as those
that need no resizing, are stored as bytes; others as float32. Both are read back exactly.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.data.examples import Examples
from transfergrid.data.inputs import Preprocess
from transfergrid.records.ledgers.cached import Arrays, Compute, Entry, Rows, Store
from transfergrid.records.provenance import versions

SHARE = 2
"""The images of one split may take the store's limit divided by this."""
PART_BYTES = 64 * 2**20
"""Bytes of images that a worker prepares and stores before it releases the lock to others."""
IN_MEMORY = 256 * 2**20
"""If the disk takes no more: a process stops preparing ahead when it holds this many bytes."""


class _NotBytesError(Exception):
    """A prepared image has values that bytes cannot represent exactly."""


class KeptImages:
    """The prepared images of one split.

    Args:
        store: the disk cache.
        examples: of the split.
        preprocess: prepares the images; a dataclass whose fields determine all that it does.
        place: identifies the data and the split, for the cache key.
        first: the first image, prepared, (1, channels, height, width) float32.
    """

    def __init__(
        self,
        store: Store,
        examples: Examples,
        preprocess: Preprocess,
        place: Mapping[str, Any],
        first: Tensor,
    ) -> None:
        self.store, self.examples, self.preprocess = store, examples, preprocess
        self._about = {
            "what": "images as they go in",
            "inputs": f"{preprocess!r} {preprocess}",
            "data": dict(place),
            "code": _code_of(type(preprocess)),
            "versions": {**versions(), "pillow": version("pillow")},
        }
        self._use(as_bytes(first) is not None, first.numel())
        if self._are_bytes and self._has_numbers():
            self._use(False, first.numel())

    def _has_numbers(self) -> bool:
        """Return whether a worker found an image that is not exact in bytes, and stored float32."""
        numbers = self._entry("float32")
        numbers.missing(np.zeros(1, dtype=np.int64))  # reads the entry from disk
        return len(numbers) > 0

    def _entry(self, kind: str) -> Entry:
        return self.store.entry({**self._about, "as": kind})

    def _use(self, are_bytes: bool, values: int) -> None:
        self._are_bytes, self._values = are_bytes, values
        kind = "uint8" if are_bytes else "float32"
        self.entry = self._entry(kind)
        one = values * np.dtype(kind).itemsize
        self._most = self.store.limit // SHARE // one
        self._at_once = max(1, PART_BYTES // one)

    def have(self, indices: NDArray[np.int64]) -> None:
        """Prepare and store those of these images that are missing, as many as fit."""
        missing = self.entry.missing(indices)
        missing = missing[: max(0, self._most - len(self.entry))]
        try:
            for begin in range(0, len(missing), self._at_once):
                if self.entry.bytes_in_memory >= IN_MEMORY:
                    return  # the disk is full: prepare the others when they are read
                self.entry.have(missing[begin : begin + self._at_once], self._computing())
        except _NotBytesError:
            self._use(False, self._values)
            self.have(indices)

    def rows(self, indices: NDArray[np.int64]) -> Tensor:
        """Return these images prepared, (n, channels, height, width) float32, for n of at least 1.

        Images that do not fit into the cache are prepared anew each time.
        """
        self.have(indices)
        missing = self.entry.missing(indices)
        if not missing.size:
            return _as_numbers(self.entry.rows(indices, self._computing()))
        streamed = np.isin(indices, missing)
        new = self._prepared(indices[streamed])
        found = new.new_empty((len(indices), *new.shape[1:]))
        found[torch.from_numpy(streamed)] = new
        if not streamed.all():
            there = self.entry.rows(indices[~streamed], self._computing())
            found[torch.from_numpy(~streamed)] = _as_numbers(there)
        return found

    def _prepared(self, indices: NDArray[np.int64]) -> Tensor:
        parts = [self.preprocess.prepare(part) for part in self.examples.in_parts(indices)]
        return torch.cat([part for part in parts if isinstance(part, Tensor)])

    def _computing(self) -> Compute:
        """Return the function that prepares missing images, decoding a part at a time."""

        def compute(missing: Rows) -> Iterator[tuple[Rows, Arrays]]:
            done = 0
            for raw in self.examples.in_parts(missing):
                made = self.preprocess.prepare(raw)
                assert isinstance(made, Tensor)
                kept = as_bytes(made) if self._are_bytes else made
                if kept is None:
                    raise _NotBytesError
                yield missing[done : done + len(made)], (kept.numpy(),)
                done += len(made)

        return compute


def can_be_kept(preprocess: Preprocess, prepared: Tensor) -> bool:
    """Return whether images of this preprocessing can be cached: a dataclass that makes float32.

    A dataclass's text contains all settings, so it can be part of the cache key.
    """
    return dataclasses.is_dataclass(type(preprocess)) and prepared.dtype is torch.float32


def as_bytes(images: Tensor) -> Tensor | None:
    """Return images with values from 0 to 1 as bytes, or None if `_as_numbers` would differ."""
    found = (images * 255).round().to(torch.uint8)
    return found if torch.equal(found.float().div_(255), images) else None


def _as_numbers(arrays: Arrays) -> Tensor:
    found = torch.from_numpy(arrays[0])
    return found.float().div_(255) if found.dtype is torch.uint8 else found


@cache
def _code_of(kind: type) -> str:
    """Return a hash, 16 hex digits, of all code in `data` and of the preprocessing's file."""
    found = hashlib.sha256()
    own = inspect.getsourcefile(kind)
    for file in (*sorted(Path(__file__).parent.rglob("*.py")), *([Path(own)] if own else [])):
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]
