"""What the batch of one training step holds.

A step's batch is a pure function of the seed and the step: every arm of a seed block sees the same
target examples in the same order under the same augmentation, and a run can be resumed anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from transfergrid.data.inputs import Inputs
from transfergrid.data.views import View, join_inputs, size_of, take
from transfergrid.records.errors import BadInputError

StreamName: TypeAlias = Literal[
    "target",
    "taught",
    "again",
    "unlabelled",
    "views",
    "source",
    "episode",
    "attributes",
    "named",
]
"""The streams that a phase may read, in the order above:

- labelled target examples; the same as a teacher's inputs; the same in a second augmented view;
- target inputs without labels; two augmented views of them;
- labelled examples of each source domain; few-shot tasks drawn from the first source domain;
- descriptions of the target's classes as numbers; as texts, which a phase may read between steps
  and which are in no batch."""


@dataclass
class Labelled:
    """Labelled examples of a batch.

    Attributes:
        inputs: of the backbone.
        labels: (batch, ...), class indices or numbers.
        rows: the examples' rows in their `View`, (batch,) int64.
        views: the number of the fixed augmented view of each example, (batch,) int64; None if the
            inputs are freshly augmented, or not augmented.
        taught: the same examples, augmented alike, as inputs of a teacher; None if the teacher
            takes the backbone's inputs, or if the phase does not read this stream.
        again: the same examples in another augmented view; None if the phase does not read it.
    """

    inputs: Inputs
    labels: Tensor
    rows: Tensor | None = None
    views: Tensor | None = None
    taught: Inputs | None = None
    again: Inputs | None = None

    @property
    def for_teacher(self) -> Inputs:
        """The inputs that a teacher gets for these examples."""
        return self.inputs if self.taught is None else self.taught


@dataclass
class Batch:
    """What one step learns from; a stream that the phase does not read is absent.

    Attributes:
        target: labelled target examples.
        unlabelled: target inputs without labels.
        source: labelled examples of each source domain.
        views: two views of the same unlabelled examples: augmented like the other streams, and
            strongly augmented.
        episode: support and query of one task drawn from the first source domain.
        attributes: descriptions of the target's classes, (classes, d).
        rows: the unlabelled examples' rows in their `View`, (batch,) int64, for strategies that
            keep a state for each example.
    """

    target: Labelled | None = None
    unlabelled: Inputs | None = None
    source: tuple[Labelled, ...] = ()
    views: tuple[Inputs, Inputs] | None = None
    episode: tuple[Labelled, Labelled] | None = None
    attributes: Tensor | None = None
    rows: Tensor | None = None

    def labelled(self) -> Labelled:
        """Return all labelled examples, first the source domains', last the target's.

        Raises:
            BadInputError: there are none: the phase reads no such stream, or the cell has none.
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
        """How many examples its first stream has; of an episode, the query."""
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


def parts_of(batch: Batch, number: int) -> list[tuple[Batch, float]]:
    """Cut a batch into `number` smaller ones; return each with its share of the first stream.

    All streams are cut into the same number of parts, at most as many as the smallest stream has
    examples: the mean loss of an empty part is undefined. An episode is one task and never cut.
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
        views = part.views[own] if part.views is not None else None
        more = [cut(x) if x is not None else None for x in (part.taught, part.again)]
        return Labelled(cut(part.inputs), part.labels[own], places, views, *more)

    return replace(
        batch,
        target=labelled(batch.target) if batch.target else None,
        unlabelled=cut(batch.unlabelled) if batch.unlabelled is not None else None,
        source=tuple(labelled(part) for part in batch.source),
        views=(cut(batch.views[0]), cut(batch.views[1])) if batch.views else None,
        rows=batch.rows[rows(len(batch.rows))] if batch.rows is not None else None,
    )


class ViewBatches(Dataset[Labelled]):
    """A view as a map-style dataset of ready batches, for a DataLoader with `batch_size=None`.

    Its examples come in the view's `reading_order`; labels are empty if the view has none. Batch
    sizes are as equal as possible: below 16 examples a CPU uses other kernels, which changes the
    last digits of results.

    Args:
        view: the view to read, all of its rows.
        size: the largest size of a batch.
        augmented: an augmentation and the number of its fixed view; None: without augmentation.
    """

    def __init__(self, view: View, size: int, augmented: tuple[str, int] | None = None) -> None:
        self.view, self.augmented = view, augmented
        self.batches = np.array_split(view.reading_order(), math.ceil(len(view) / size) or 1)

    def __len__(self) -> int:
        return len(self.batches) if len(self.view) else 0

    def __getitem__(self, number: int) -> Labelled:
        if number >= len(self):
            raise IndexError(number)
        rows = self.batches[number]
        labels = self.view.labels[rows] if len(self.view.labels) else self.view.labels
        return Labelled(self._inputs(rows), torch.from_numpy(labels), torch.from_numpy(rows))

    def _inputs(self, rows: NDArray[np.int64]) -> Inputs:
        if self.augmented is None:
            return self.view.inputs(rows)
        augmentation, number = self.augmented
        return self.view.fixed(rows, augmentation, np.full(len(rows), number))
