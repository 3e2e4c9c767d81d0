"""The examples of a split as inputs of a backbone: prepared, cached, augmented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.data.examples import Examples, Labels
from transfergrid.data.inputs import Drawing, Inputs, Preprocess
from transfergrid.data.kept_images import KeptImages, as_bytes, can_be_kept
from transfergrid.records.ledgers.cached import Store
from transfergrid.records.seeds import stream_seed

AT_ONCE = 500  # texts that are prepared together, because a split may hold long ones
CACHE_BYTES = 256 * 2**20  # a split whose prepared inputs are larger is prepared batch by batch


def take(inputs: Inputs, rows: Tensor) -> Inputs:
    """Select rows of inputs."""
    if isinstance(inputs, dict):
        return {name: value[rows] for name, value in inputs.items()}
    if _ahead(inputs):
        return tuple(value[rows] for value in inputs)  # type: ignore[return-value]
    return inputs[rows]


def join_inputs(first: Inputs, second: Inputs) -> Inputs:
    """Concatenate inputs; sequences are padded to the length of the longer batch."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {name: _cat_padded([first[name], second[name]]) for name in first}
    if _ahead(first) and _ahead(second):
        return tuple(map(_cat_padded, zip(first, second, strict=True)))  # type: ignore[return-value]
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    return torch.cat([first, second])


def _cat_padded(parts: Sequence[Tensor], fill: int = 0) -> Tensor:
    """Concatenate (n, length, ...) tensors, padded at the end, where the attention mask is 0."""
    length = max(part.shape[1] if part.ndim > 1 else 0 for part in parts)
    return torch.cat([padded(part, length, fill) for part in parts])


def padded(tensor: Tensor, length: int, fill: int = 0) -> Tensor:
    """Return the sequences padded at their ends to (n, length, ...)."""
    if tensor.ndim < 2 or tensor.shape[1] == length:
        return tensor
    more = tensor.new_full((len(tensor), length - tensor.shape[1], *tensor.shape[2:]), fill)
    return torch.cat([tensor, more], dim=1)


def size_of(inputs: Inputs) -> int:
    """Return the number of examples in inputs."""
    return len(tensors_of(inputs)[0])


def byte_size(inputs: Inputs) -> int:
    """Return how many bytes inputs take in memory."""
    return sum(part.numel() * part.element_size() for part in tensors_of(inputs))


def tensors_of(inputs: Inputs) -> list[Tensor]:
    """Return the tensors that inputs are made of."""
    if _ahead(inputs):
        return list(inputs)
    return list(inputs.values()) if isinstance(inputs, dict) else [inputs]


def _ahead(inputs: object) -> TypeGuard[tuple[Tensor, ...]]:
    """Return whether these are outputs of a backbone's first blocks instead of its inputs."""
    return isinstance(inputs, tuple)


def prepared(preprocess: Preprocess, examples: Examples, indices: NDArray[np.int64]) -> Inputs:
    """Return these examples prepared by `preprocess.prepare`, in little memory.

    Images are prepared part by part: large ones are resized before the next ones are decoded.
    """
    parts = [preprocess.prepare(part) for part in examples.in_parts(indices)]
    if len(parts) < 2:
        return parts[0] if parts else preprocess.prepare(examples.read(indices))
    return joined(parts)


def joined(parts: Sequence[Inputs], fills: Mapping[str, int] | None = None) -> Inputs:
    """Concatenate inputs; sequences are padded to the longest, with 0 or the value in `fills`."""
    first = parts[0]
    if isinstance(first, dict):
        dicts, fills = [part for part in parts if isinstance(part, dict)], fills or {}
        return {k: _cat_padded([part[k] for part in dicts], fills.get(k, 0)) for k in first}
    return torch.cat([part for part in parts if isinstance(part, Tensor)])


class Prepared:
    """One split, prepared for a backbone and cached where it fits: in memory, or on disk.

    The disk cache holds images that had to be decoded, and images that had to be resized if they
    are too many for memory.

    Args:
        examples: of the split.
        preprocess: of the backbone.
        place: plain values that identify the data and the split, for the cache key; None if
            unknown: then nothing is cached on disk.
        store: the disk cache that all workers share; None: only memory is used.
    """

    def __init__(
        self,
        examples: Examples,
        preprocess: Preprocess,
        place: Mapping[str, Any] | None = None,
        store: Store | None = None,
    ) -> None:
        self.examples = examples
        self.preprocess = preprocess
        self.place = place
        self.store = store
        self._kept: KeptImages | None = None
        self._cache: Inputs | None = None
        self._large = False
        self._n_cut: int | None = None

    def few(self, number: int) -> Prepared:
        """Return the split for reading this many examples, without preparing it whole for a few.

        That is `unkept` for less than a quarter of a split that is not in memory yet; else itself.
        """
        is_small = not self._large and self._cache is None and 4 * number < len(self.examples)
        return self.unkept() if is_small else self

    def unkept(self) -> Prepared:
        """Return the split without a cache: it prepares only the rows asked for, each time anew."""
        found = Prepared(self.examples, self.preprocess, self.place)
        found._large = True
        return found

    def rows(self, indices: NDArray[np.int64]) -> Inputs:
        """Return the prepared inputs of these examples."""
        self.warm()
        if self._cache is not None:
            return take(self._cache, torch.from_numpy(indices))
        if self._kept is not None and len(indices):
            return self._kept.rows(indices)
        return prepared(self.preprocess, self.examples, indices)

    def lengths(self, indices: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the lengths of these sequences, (n,); None without sequences in memory."""
        self.warm()
        if not isinstance(self._cache, dict) or "attention_mask" not in self._cache:
            return None
        found: NDArray[np.int64] = self._cache["attention_mask"].sum(dim=1).numpy()[indices]
        return found

    def n_cut(self) -> int:
        """Return how many examples are truncated because they are longer than the model takes."""
        if self._n_cut is None:
            everything = np.arange(len(self.examples), dtype=np.int64)
            parts = np.array_split(everything, 1 + len(everything) // AT_ONCE)
            count = getattr(self.preprocess, "cut", None)  # images are resized, never truncated
            self._n_cut = sum(count(self.rows(part)) for part in parts) if count else 0
        return self._n_cut

    def warm(self) -> None:
        """Prepare the whole split now if it fits in memory; processes forked later share it.

        Otherwise set up the disk cache, if the split is to be kept there.
        """
        if self._cache is None and self._kept is None and not self._large:
            one = self.preprocess.prepare(self.examples.read(np.zeros(1, dtype=np.int64)))
            self._kept = self._on_disk(one)
            self._cache = None if self._kept is not None else self._whole(one)
            self._large = self._cache is None

    def have(self, indices: NDArray[np.int64]) -> None:
        """Prepare these examples now for the disk cache, if there is one: faster than by batch."""
        self.warm()
        if self._kept is not None and len(indices):
            self._kept.have(indices)

    @property
    def is_on_disk(self) -> bool:
        """Whether the split is cached on disk; known after `warm`."""
        return self._kept is not None

    def _on_disk(self, one: Inputs) -> KeptImages | None:
        if self.store is None or self.place is None or not isinstance(one, Tensor):
            return None
        fits = byte_size(one) * len(self.examples) <= CACHE_BYTES
        is_work = self.examples.are_decoded or not (fits or as_bytes(one) is not None)
        if not is_work or not can_be_kept(self.preprocess, one):
            return None
        return KeptImages(self.store, self.examples, self.preprocess, self.place, one)

    def _whole(self, one: Inputs) -> Inputs | None:
        """Return the whole split prepared; None if too large, judged by the first example."""
        n = len(self.examples)
        if byte_size(one) * n > CACHE_BYTES:
            return None
        if isinstance(one, dict):
            return self._sequences()
        return prepared(self.preprocess, self.examples, np.arange(n, dtype=np.int64))

    def _sequences(self) -> Inputs | None:
        """Return all texts prepared; None as soon as they would not fit at the longest length."""
        n = len(self.examples)
        parts: list[Inputs] = []
        for begin in range(0, n, AT_ONCE):
            rows = np.arange(begin, min(begin + AT_ONCE, n), dtype=np.int64)
            part = self.preprocess.prepare(self.examples.read(rows))
            assert isinstance(part, dict)
            if byte_size(part) * n > CACHE_BYTES * len(rows):
                return None
            parts.append(part)
        return joined(parts, getattr(self.preprocess, "fills", {}))


@dataclass
class View:
    """Chosen examples of a split, with the labels that the reader may see (or no labels)."""

    prepared: Prepared
    indices: NDArray[np.int64]
    labels: Labels = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def of_entries(self) -> bool:
        """Whether its inputs are the names of a matrix's rows and columns."""
        return self.prepared.examples.of_entries

    @property
    def rows(self) -> NDArray[np.int64]:
        """The numbers of all rows, (n,)."""
        return np.arange(len(self), dtype=np.int64)

    def part(self, rows: NDArray[np.int64]) -> Self:
        """Return a view of some of its rows."""
        labels = self.labels[rows] if len(self.labels) else self.labels
        return replace(self, indices=self.indices[rows], labels=labels)

    def warm(self) -> None:
        """Prepare all of it now, if it is cached; processes that are forked later share it."""
        self.prepared.have(self.indices)

    def alone(self, row: int) -> Inputs:
        """Return the model inputs of one row, without preparing any other."""
        examples, preprocess = self.prepared.examples, self.prepared.preprocess
        return preprocess.finish(prepared(preprocess, examples, self.indices[[row]]), "none", None)

    def characters(self) -> NDArray[np.int64] | None:
        """Return how many characters each text, or pair of texts, has, (n,); None without texts.

        Unlike the number of tokens, it does not depend on the network's tokenizer.
        """
        texts = self.prepared.examples.characters
        return None if texts is None else texts[self.indices]

    def reading_order(self) -> NDArray[np.int64]:
        """Return all rows in a good order for reading, (n,): sequences sorted by length.

        A batch is padded to its longest sequence, so this halves the work on sentences.
        """
        lengths = self.prepared.lengths(self.indices)
        return self.rows if lengths is None else np.argsort(lengths, kind="stable")

    def inputs(
        self,
        rows: NDArray[np.int64],
        augmentation: str = "none",
        rng: torch.Generator | None = None,
        beside: View | None = None,
    ) -> Inputs:
        """Return the model inputs of these rows of the view, augmented if `rng` is given.

        Args:
            rows: of the view.
            augmentation: of the inputs.
            rng: random numbers of the augmentation. The same examples as inputs of another network
                are augmented alike if they get an equal `rng`.
            beside: the same examples for that other network. Of a text it tells how many words
                drew a random number there.
        """
        prepared, preprocess = self.prepared.rows(self.indices[rows]), self.prepared.preprocess
        if beside is not None and isinstance(preprocess, Drawing):
            preprocess = preprocess.drawing(beside.drawn(rows))
        return preprocess.finish(prepared, augmentation, rng)

    def drawn(self, rows: NDArray[np.int64]) -> int:
        """Return how many words of each text draw a random number; 0 where inputs are no texts."""
        preprocess = self.prepared.preprocess
        if not isinstance(preprocess, Drawing):
            return 0
        return preprocess.drawn(self.prepared.rows(self.indices[rows]))

    def fixed(
        self, rows: NDArray[np.int64], augmentation: str, numbers: NDArray[np.int64]
    ) -> Inputs:
        """Return the model inputs of these rows, each as its fixed augmented view of that number.

        An example's view of a given number is the same for every arm and every seed.
        """
        preprocess, indices = self.prepared.preprocess, self.indices[rows]
        prepared = self.prepared.rows(indices)
        parts = []
        for place, (index, number) in enumerate(zip(indices, numbers, strict=True)):
            rng = torch.Generator()
            rng.manual_seed(stream_seed(int(index), "view", augmentation, int(number)))
            one = take(prepared, torch.tensor([place]))
            parts.append(preprocess.finish(one, augmentation, rng))
        return joined(parts, getattr(preprocess, "fills", {}))
