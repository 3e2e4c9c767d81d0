"""From examples to the batch of one step.

A step's batch is a pure function of the seed and the step: every arm of a seed block sees the same
target examples in the same order under the same augmentation, and a run can be cut anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from transfergrid.data.domain import Examples
from transfergrid.data.inputs import Inputs, Preprocess
from transfergrid.records.seeds import generator, stream_seed

AT_ONCE = 500  # texts that are prepared together where a split may hold long ones
CACHE_BYTES = 256 * 2**20  # a split whose prepared inputs are larger is prepared batch by batch


@dataclass
class Labelled:
    """Inputs of a batch with their labels, (batch,) int64."""

    inputs: Inputs
    labels: Tensor


@dataclass
class Batch:
    """What one step learns from; absent parts are None."""

    target: Labelled | None = None
    unlabelled: Inputs | None = None
    source: Labelled | None = None
    index: Tensor | None = None
    """Positions of the target examples in the training part, (batch,) int64."""


def take(inputs: Inputs, rows: Tensor) -> Inputs:
    """Select rows of inputs."""
    if isinstance(inputs, dict):
        return {name: value[rows] for name, value in inputs.items()}
    return inputs[rows]


def join(first: Labelled, second: Labelled) -> Labelled:
    """Concatenate two labelled batches."""
    labels = torch.cat([first.labels, second.labels])
    return Labelled(join_inputs(first.inputs, second.inputs), labels)


def join_inputs(first: Inputs, second: Inputs) -> Inputs:
    """Concatenate inputs; of two batches of sequences the shorter ones get more padding."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {name: _cat_padded([first[name], second[name]]) for name in first}
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    return torch.cat([first, second])


def _cat_padded(parts: Sequence[Tensor], fill: int = 0) -> Tensor:
    """Concatenate (n, length, ...) tensors; zeros at the end say nothing, the mask is zero too."""
    length = max(part.shape[1] if part.ndim > 1 else 0 for part in parts)
    return torch.cat([_padded(part, length, fill) for part in parts])


def _padded(tensor: Tensor, length: int, fill: int) -> Tensor:
    if tensor.ndim < 2 or tensor.shape[1] == length:
        return tensor
    more = tensor.new_full((len(tensor), length - tensor.shape[1], *tensor.shape[2:]), fill)
    return torch.cat([tensor, more], dim=1)


def size_of(inputs: Inputs) -> int:
    """Return the number of examples in inputs."""
    return len(next(iter(inputs.values()))) if isinstance(inputs, dict) else len(inputs)


def byte_size(inputs: Inputs) -> int:
    """Return the bytes that inputs take in memory."""
    parts = inputs.values() if isinstance(inputs, dict) else [inputs]
    return sum(part.numel() * part.element_size() for part in parts)


def prepared(preprocess: Preprocess, examples: Examples, indices: NDArray[np.int64]) -> Inputs:
    """Return these examples prepared, as `preprocess.prepare` does all at once, in little memory.

    Images are prepared part by part, so that large ones are small before others are decoded.
    """
    parts = [preprocess.prepare(part) for part in examples.in_parts(indices)]
    if len(parts) < 2:
        return parts[0] if parts else preprocess.prepare(examples.read(indices))
    first = parts[0]
    if isinstance(first, dict):
        dicts = [part for part in parts if isinstance(part, dict)]
        return {name: _cat_padded([part[name] for part in dicts]) for name in first}
    return torch.cat([part for part in parts if isinstance(part, Tensor)])


class Prepared:
    """One split as a backbone's preprocessing sees it, kept in memory where it fits."""

    def __init__(self, examples: Examples, preprocess: Preprocess) -> None:
        self.examples = examples
        self.preprocess = preprocess
        self._cache: Inputs | None = None
        self._large = False
        self._n_cut: int | None = None

    def rows(self, indices: NDArray[np.int64]) -> Inputs:
        """Return the prepared inputs of these examples."""
        self.warm()
        if self._cache is not None:
            return take(self._cache, torch.from_numpy(indices))
        return prepared(self.preprocess, self.examples, indices)

    def lengths(self, indices: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return how long these sequences are, (n,); None if they are none or not in memory."""
        self.warm()
        if not isinstance(self._cache, dict) or "attention_mask" not in self._cache:
            return None
        found: NDArray[np.int64] = self._cache["attention_mask"].sum(dim=1).numpy()[indices]
        return found

    def n_cut(self) -> int:
        """Return how many examples are longer than the model takes, and so come cut."""
        if self._n_cut is None:
            everything = np.arange(len(self.examples), dtype=np.int64)
            parts = np.array_split(everything, 1 + len(everything) // AT_ONCE)
            count = getattr(self.preprocess, "cut", None)  # images are resized, never cut
            self._n_cut = sum(count(self.rows(part)) for part in parts) if count else 0
        return self._n_cut

    def warm(self) -> None:
        """Prepare everything now, where it fits: processes that are forked later share it."""
        if self._cache is None and not self._large:
            self._cache = self._whole()
            self._large = self._cache is None

    def _whole(self) -> Inputs | None:
        """Return everything prepared; None if too large. All images are as large as the first."""
        n = len(self.examples)
        one = self.preprocess.prepare(self.examples.read(np.zeros(1, dtype=np.int64)))
        if byte_size(one) * n > CACHE_BYTES:
            return None
        if isinstance(one, dict):
            return self._sequences()
        return prepared(self.preprocess, self.examples, np.arange(n, dtype=np.int64))

    def _sequences(self) -> Inputs | None:
        """Prepare part by part until all as long as the longest so far are known not to fit."""
        n, parts = len(self.examples), []
        for begin in range(0, n, AT_ONCE):
            rows = np.arange(begin, min(begin + AT_ONCE, n), dtype=np.int64)
            part = self.preprocess.prepare(self.examples.read(rows))
            assert isinstance(part, dict)
            if byte_size(part) * n > CACHE_BYTES * len(rows):
                return None
            parts.append(part)
        fills = getattr(self.preprocess, "fills", {})  # what it pads with, where that is not 0
        return {k: _cat_padded([part[k] for part in parts], fills.get(k, 0)) for k in parts[0]}


@dataclass
class View:
    """Chosen examples of a split, with the labels that their reader may see."""

    prepared: Prepared
    indices: NDArray[np.int64]
    labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The numbers of all rows, (n,)."""
        return np.arange(len(self), dtype=np.int64)

    def reading_order(self) -> NDArray[np.int64]:
        """Return rows in the order in which to read them all, (n,): like lengths side by side.

        A batch of sequences is as long as its longest one, so this halves the work on sentences.
        """
        lengths = self.prepared.lengths(self.indices)
        return self.rows if lengths is None else np.argsort(lengths, kind="stable")

    def inputs(
        self,
        rows: NDArray[np.int64],
        augmentation: str = "none",
        rng: torch.Generator | None = None,
    ) -> Inputs:
        """Return model inputs of these rows of the view, augmented if `rng` is given."""
        prepared = self.prepared.rows(self.indices[rows])
        return self.prepared.preprocess.finish(prepared, augmentation, rng)


class ViewBatches(Dataset[Labelled]):
    """A view as a map-style dataset of ready batches, for a loader with `batch_size=None`.

    Its examples come in the view's `reading_order`.
    """

    def __init__(self, view: View, size: int) -> None:
        self.view, self.size, self.order = view, size, view.reading_order()

    def __len__(self) -> int:
        return math.ceil(len(self.view) / self.size)

    def __getitem__(self, number: int) -> Labelled:
        if number >= len(self):
            raise IndexError(number)
        rows = self.order[number * self.size : (number + 1) * self.size]
        return Labelled(self.view.inputs(rows), torch.from_numpy(self.view.labels[rows]))


class Stream:
    """An endless seeded order over a view: one fresh permutation after another.

    Every batch has the same size, min(batch size, len(view)), so no step trains on a leftover of
    one; a batch may cross from one permutation to the next.
    """

    def __init__(
        self, view: View, name: str, seed: int, batch_size: int, augmentation: str
    ) -> None:
        self.view, self.name, self.seed = view, name, seed
        self.size = min(batch_size, len(view))
        self.augmentation = augmentation
        self._orders: dict[int, NDArray[np.int64]] = {}

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            rng = generator(self.seed, "order", self.name, epoch)
            self._orders[epoch] = rng.permutation(len(self.view)).astype(np.int64)
        return self._orders[epoch]

    def rows(self, step: int) -> NDArray[np.int64]:
        """Return the rows of the view that this step uses, (size,)."""
        positions = np.arange(step * self.size, (step + 1) * self.size)
        epochs, offsets = np.divmod(positions, len(self.view))
        parts = [self._order(int(e))[offsets[epochs == e]] for e in np.unique(epochs)]
        return np.concatenate(parts)

    def inputs(self, step: int) -> tuple[Inputs, NDArray[np.int64]]:
        """Return this step's inputs and their rows."""
        rows = self.rows(step)
        rng = torch.Generator().manual_seed(stream_seed(self.seed, "augment", self.name, step))
        return self.view.inputs(rows, self.augmentation, rng), rows


@dataclass
class CellData:
    """All that a strategy may learn from. The test split is not in it."""

    classes: tuple[str, ...]
    train: View | None
    validation: View | None
    unlabelled: View | None = None
    source: View | None = None
    """The labelled source domain."""
    source_classes: tuple[str, ...] = ()


class StepBatches(Dataset[Batch]):
    """The batch of every step, as a map from step number to batch."""

    def __init__(
        self, data: CellData, seed: int, steps: int, batch_size: int, augmentation: str
    ) -> None:
        self.steps = steps

        def stream(view: View | None, name: str) -> Stream | None:
            return Stream(view, name, seed, batch_size, augmentation) if view is not None else None

        self.target = stream(data.train, "target")
        self.unlabelled = stream(data.unlabelled, "unlabelled")
        self.source = stream(data.source, "source")

    def __len__(self) -> int:
        return self.steps

    def warm(self) -> None:
        """Prepare all that the batches are taken from."""
        for stream in (self.target, self.unlabelled, self.source):
            if stream is not None:
                stream.view.prepared.warm()

    def __getitem__(self, step: int) -> Batch:
        if step >= self.steps:
            raise IndexError(step)
        batch = Batch()
        if self.target is not None:
            batch.target, batch.index = _labelled(self.target, step)
        if self.source is not None:
            batch.source, _ = _labelled(self.source, step)
        if self.unlabelled is not None:
            batch.unlabelled, _ = self.unlabelled.inputs(step)
        return batch


def _labelled(stream: Stream, step: int) -> tuple[Labelled, Tensor]:
    inputs, rows = stream.inputs(step)
    return Labelled(inputs, torch.from_numpy(stream.view.labels[rows])), torch.from_numpy(rows)
