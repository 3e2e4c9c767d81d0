"""From examples to the batch of one step.

A step's batch is a pure function of the seed and the step: every arm of a seed block sees the same
target examples in the same order under the same augmentation, and a run can be cut anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from transfergrid.data.inputs import Inputs
from transfergrid.data.task import Task
from transfergrid.data.views import View, join_inputs, size_of, take
from transfergrid.records.errors import BadInputError
from transfergrid.records.seeds import generator, stream_seed

StreamName: TypeAlias = Literal["target", "unlabelled", "views", "source", "episode", "attributes"]
"""What a phase may read: labelled target examples; target inputs without labels, or two augmented
views of them; labelled examples of each source domain; few-shot tasks drawn from the first one;
descriptions of the target's classes."""


@dataclass
class Labelled:
    """Inputs of a batch with their labels, (batch, ...).

    `rows` are their positions in the stream, (batch,) int64.
    """

    inputs: Inputs
    labels: Tensor
    rows: Tensor | None = None


@dataclass
class Batch:
    """What one step learns from; a stream that the phase does not read is absent.

    Attributes:
        target: labelled target examples.
        unlabelled: target inputs without labels.
        source: labelled examples of each source domain.
        views: the same unlabelled examples, augmented as all others and strongly.
        episode: support and query of one task drawn from the first source domain.
        attributes: descriptions of the target's classes, (classes, d).
        rows: positions of the unlabelled examples, (batch,) int64, for what is kept by example.
    """

    target: Labelled | None = None
    unlabelled: Inputs | None = None
    source: tuple[Labelled, ...] = ()
    views: tuple[Inputs, Inputs] | None = None
    episode: tuple[Labelled, Labelled] | None = None
    attributes: Tensor | None = None
    rows: Tensor | None = None

    def labelled(self) -> Labelled:
        """Return every labelled example, those of source domains first, of the target last.

        Raises:
            BadInputError: there is none: the phase reads no such stream, or the cell has none.
        """
        if self.target is None and not self.source:
            raise BadInputError(
                "the batch has no labelled examples: its phase reads neither target nor source, "
                "or the cell has no labels"
            )
        first, *others = [*self.source, *([self.target] if self.target else [])]
        for other in others:
            first = join(first, other)
        return first

    @property
    def size(self) -> int:
        """How many examples its first stream has."""
        if self.episode is not None:
            return len(self.episode[1].labels)
        labelled = [*([self.target] if self.target else []), *self.source]
        if labelled:
            return len(labelled[0].labels)
        return len(self.rows) if self.rows is not None else 0

    @property
    def smallest(self) -> int:
        """How many examples its smallest stream has."""
        labelled = [*([self.target] if self.target else []), *self.source]
        sizes = [len(part.labels) for part in labelled]
        return min([*sizes, *([len(self.rows)] if self.rows is not None else [])], default=0)


def join(first: Labelled, second: Labelled) -> Labelled:
    """Concatenate two labelled batches."""
    labels = torch.cat([first.labels, second.labels])
    return Labelled(join_inputs(first.inputs, second.inputs), labels)


def through(batch: Batch, make: Callable[[Inputs], Inputs]) -> Batch:
    """Return a batch all inputs of which have been passed through `make`."""

    def made(part: Labelled) -> Labelled:
        return replace(part, inputs=make(part.inputs))

    return replace(
        batch,
        target=made(batch.target) if batch.target else None,
        unlabelled=make(batch.unlabelled) if batch.unlabelled is not None else None,
        source=tuple(made(part) for part in batch.source),
        views=(make(batch.views[0]), make(batch.views[1])) if batch.views else None,
        episode=(made(batch.episode[0]), made(batch.episode[1])) if batch.episode else None,
    )


def parts_of(batch: Batch, number: int) -> list[tuple[Batch, float]]:
    """Cut a batch into `number` smaller ones and the share that each has of its first stream.

    All streams are cut alike, into no more parts than the smallest has examples, for the mean of
    nothing is no number; an episode, which is one task, is never cut.
    """
    number = min(number, batch.smallest)
    if number < 2 or batch.episode is not None:
        return [(batch, 1.0)]
    pieces = [_piece(batch, part, number) for part in range(number)]
    return [(piece, piece.size / batch.size) for piece in pieces]


def _piece(batch: Batch, part: int, number: int) -> Batch:
    def rows(size: int) -> Tensor:
        return torch.arange(part * size // number, (part + 1) * size // number)

    def cut(inputs: Inputs) -> Inputs:
        return take(inputs, rows(size_of(inputs)))

    def labelled(part: Labelled) -> Labelled:
        own = rows(len(part.labels))
        places = part.rows[own] if part.rows is not None else None
        return Labelled(cut(part.inputs), part.labels[own], places)

    return replace(
        batch,
        target=labelled(batch.target) if batch.target else None,
        unlabelled=cut(batch.unlabelled) if batch.unlabelled is not None else None,
        source=tuple(labelled(part) for part in batch.source),
        views=(cut(batch.views[0]), cut(batch.views[1])) if batch.views else None,
        rows=batch.rows[rows(len(batch.rows))] if batch.rows is not None else None,
    )


class ViewBatches(Dataset[Labelled]):
    """A view as a map-style dataset of ready batches, for a loader with `batch_size=None`.

    Its examples come in the view's `reading_order`; of a view without labels none has one.
    """

    def __init__(self, view: View, size: int) -> None:
        self.view, self.size, self.order = view, size, view.reading_order()

    def __len__(self) -> int:
        return math.ceil(len(self.view) / self.size)

    def __getitem__(self, number: int) -> Labelled:
        if number >= len(self):
            raise IndexError(number)
        rows = self.order[number * self.size : (number + 1) * self.size]
        labels = self.view.labels[rows] if len(self.view.labels) else self.view.labels
        return Labelled(self.view.inputs(rows), torch.from_numpy(labels), torch.from_numpy(rows))


class Stream:
    """An endless seeded order over a view: one fresh permutation after another.

    Every batch has the same size, min(batch size, len(view)), so no step trains on a leftover of
    one; a batch may cross from one permutation to the next.

    Args:
        view: what it is over.
        name: streams of one name have one order.
        seed: of the seed block.
        batch_size: of a batch, at most.
        augmentation: of its inputs.
        drawn: names the random numbers of the augmentation; by default as the stream.
    """

    def __init__(
        self,
        view: View,
        name: str,
        seed: int,
        batch_size: int,
        augmentation: str,
        drawn: str | None = None,
    ) -> None:
        self.view, self.name, self.seed, self.drawn = view, name, seed, drawn or name
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
        rng = torch.Generator().manual_seed(stream_seed(self.seed, "augment", self.drawn, step))
        return self.view.inputs(rows, self.augmentation, rng), rows


@dataclass
class CellData:
    """All that a strategy may learn from. The test split is not in it.

    Attributes:
        task: the target's.
        train: labelled training examples of the target.
        validation: those that choose the step.
        unlabelled: target inputs without labels.
        source: the labelled source domains.
        source_tasks: of each of them.
        attributes: a description of each class of the target, (classes, d), where it has one.
    """

    task: Task
    train: View | None
    validation: View | None
    unlabelled: View | None = None
    source: tuple[View, ...] = ()
    source_tasks: tuple[Task, ...] = ()
    attributes: Tensor | None = None


STRONG = "strong"
"""The augmentation of the second view."""


class Episodes:
    """Tasks drawn from a labelled view: `ways` of its classes, named 0, 1, ... anew each time.

    Args:
        view: where they are drawn from.
        seed: of the seed block.
        size: ways, shots and queries a class; fewer where the view holds fewer.
        augmentation: of support and query alike.
    """

    def __init__(
        self, view: View, seed: int, size: tuple[int, int, int], augmentation: str
    ) -> None:
        self.view, self.seed, self.augmentation = view, seed, augmentation
        self.ways, self.shots, self.queries = size
        self._rows = {int(c): np.flatnonzero(view.labels == c) for c in np.unique(view.labels)}

    def episode(self, step: int) -> tuple[Labelled, Labelled]:
        """Return the support and the query of this step, which share no example.

        Raises:
            BadInputError: no two classes have two examples.
        """
        rng = generator(self.seed, "episode", step)
        known = [c for c, rows in self._rows.items() if len(rows) > 1]
        if len(known) < 2:
            raise BadInputError("episodes need a source domain with two examples of two classes")
        classes = rng.choice(known, min(self.ways, len(known)), replace=False)
        drawn = [rng.permutation(self._rows[int(c)]) for c in classes]
        shots = min(self.shots, *(len(rows) - 1 for rows in drawn))
        support = [rows[:shots] for rows in drawn]
        query = [rows[shots : shots + self.queries] for rows in drawn]
        return self._labelled(support, "support", step), self._labelled(query, "query", step)

    def _labelled(self, drawn: Sequence[NDArray[np.int64]], part: str, step: int) -> Labelled:
        rows = np.concatenate(drawn)
        labels = torch.from_numpy(np.repeat(np.arange(len(drawn)), [len(own) for own in drawn]))
        rng = torch.Generator().manual_seed(stream_seed(self.seed, "augment", part, step))
        inputs = self.view.inputs(rows, self.augmentation, rng)
        return Labelled(inputs, labels, torch.from_numpy(rows))


class StepBatches(Dataset[Batch]):
    """The batches of a stretch of steps, each a pure function of seed and step.

    Args:
        data: of the cell.
        seed: of the seed block.
        steps: their numbers, counted from the first step of the strategy.
        batch_size: of each stream.
        augmentation: of all inputs.
        reads: the streams that are in the batches, as far as the cell has them.
        episode: ways, shots and queries a class of the stream `episode`.
    """

    def __init__(
        self,
        data: CellData,
        seed: int,
        steps: range,
        batch_size: int,
        augmentation: str,
        reads: Sequence[StreamName] = ("target",),
        episode: tuple[int, int, int] = (5, 1, 15),
    ) -> None:
        self.steps, self.attributes = steps, None

        def stream(view: View | None, name: str) -> Stream | None:
            return Stream(view, name, seed, batch_size, augmentation) if view is not None else None

        own, source = data.unlabelled, data.source
        self.target = stream(data.train, "target") if "target" in reads else None
        self.unlabelled = stream(own, "unlabelled") if {"unlabelled", "views"} & {*reads} else None
        self.strong = None
        if "views" in reads and own is not None:
            self.strong = Stream(own, "unlabelled", seed, batch_size, STRONG, drawn=STRONG)
        self.alone = "unlabelled" in reads
        self.source = [
            Stream(view, f"source{i or ''}", seed, batch_size, augmentation)
            for i, view in enumerate(source if "source" in reads else ())
        ]
        self.episodes = None
        if "episode" in reads and source:
            self.episodes = Episodes(source[0], seed, episode, augmentation)
        if "attributes" in reads:
            self.attributes = data.attributes

    def __len__(self) -> int:
        return len(self.steps)

    def warm(self) -> None:
        """Prepare all that the batches are taken from."""
        for stream in (self.target, self.unlabelled, *self.source):
            if stream is not None:
                stream.view.prepared.warm()

    def __getitem__(self, place: int) -> Batch:
        step = self.steps[place]
        batch = Batch(attributes=self.attributes)
        if self.target is not None:
            batch.target = _labelled(self.target, step)
        batch.source = tuple(_labelled(stream, step) for stream in self.source)
        if self.unlabelled is not None:
            inputs, rows = self.unlabelled.inputs(step)
            batch.rows = torch.from_numpy(rows)
            batch.unlabelled = inputs if self.alone else None
            if self.strong is not None:
                batch.views = (inputs, self.strong.inputs(step)[0])
        if self.episodes is not None:
            batch.episode = self.episodes.episode(step)
        return batch


def _labelled(stream: Stream, step: int) -> Labelled:
    inputs, rows = stream.inputs(step)
    labels = torch.from_numpy(stream.view.labels[rows])
    return Labelled(inputs, labels, torch.from_numpy(rows))
