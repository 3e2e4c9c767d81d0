"""Which examples a step learns from: seeded streams, and the batches of a range of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from transfergrid.data.batches import Batch, Labelled, StreamName
from transfergrid.data.inputs import Inputs
from transfergrid.data.task import Task
from transfergrid.data.views import View
from transfergrid.records.errors import BadInputError
from transfergrid.records.seeds import generator, stream_seed


class Augmenting(NamedTuple):
    """How the inputs of steps are augmented.

    Attributes:
        name: of the augmentation.
        views: how many fixed views each example has, from which every step draws one; None: every
            step augments anew.
    """

    name: str
    views: int | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether the same inputs recur, so that features of frozen layers can be cached."""
        return self.name == "none" or self.views is not None

    def numbers(self, seed: int, stream: str, step: int, size: int) -> NDArray[np.int64]:
        """Return the number of each example's fixed view at a step, (size,); -1: no fixed view."""
        if self.name == "none" or self.views is None:
            return np.full(size, -1)
        return generator(seed, "view", stream, step).integers(self.views, size=size)

    def inputs(
        self,
        view: View,
        rows: NDArray[np.int64],
        seed: int,
        stream: str,
        step: int,
        beside: View | None = None,
    ) -> Inputs:
        """Return the inputs of these rows at a step of a stream.

        `beside` holds the same examples for another network; they are augmented alike.
        """
        if self.views is not None and self.name != "none":
            return view.fixed(rows, self.name, self.numbers(seed, stream, step, len(rows)))
        rng = torch.Generator().manual_seed(stream_seed(seed, "augment", stream, step))
        return view.inputs(rows, self.name, rng, beside if self.name != "none" else None)


class Use(NamedTuple):
    """The rows of a view that a step uses, each with the number of its fixed view (-1: none)."""

    view: View
    rows: NDArray[np.int64]
    augmentation: str
    numbers: NDArray[np.int64]


WINDOW = 32
"""How many batches form a window within which examples are sorted by length."""


class Stream:
    """An endless seeded order over a view: one fresh permutation after another.

    Every batch has the same size, min(batch size, len(view)), so that no step trains on a leftover
    single example; a batch may cross from one permutation to the next.

    If texts are grouped by length, each permutation is cut into windows of `WINDOW` batches. The
    examples of a window are sorted by length, and its batches are shuffled.

    Args:
        view: the examples.
        name: of the stream; over the same view, streams of the same name have the same order.
        seed: of the seed block.
        batch_size: the largest size of a batch.
        augmenting: of its inputs.
        drawn: names the random stream of the augmentation; by default the stream's name.
        group_by: "length" or None.
        beside: the same examples for another network, to be augmented alike.
    """

    def __init__(
        self,
        view: View,
        name: str,
        seed: int,
        batch_size: int,
        augmenting: Augmenting,
        drawn: str | None = None,
        group_by: str | None = None,
        beside: View | None = None,
    ) -> None:
        self.view, self.name, self.seed, self.drawn = view, name, seed, drawn or name
        self.size = min(batch_size, len(view))
        self.augmenting, self.beside = augmenting, beside
        self._lengths = view.characters() if group_by == "length" else None
        self._orders: dict[int, NDArray[np.int64]] = {}

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            rng = generator(self.seed, "order", self.name, epoch)
            order = rng.permutation(len(self.view)).astype(np.int64)
            self._orders[epoch] = self._grouped(order, epoch, rng)
        return self._orders[epoch]

    def _grouped(
        self, order: NDArray[np.int64], epoch: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the order regrouped so that each whole batch holds texts of similar length."""
        if self._lengths is None:
            return order
        begin = -epoch * len(order) % self.size  # earlier ones complete the last epoch's batch
        whole = (len(order) - begin) // self.size * self.size
        parts = [order[:begin]]
        for start in range(begin, begin + whole, WINDOW * self.size):
            window = order[start : min(start + WINDOW * self.size, begin + whole)]
            window = window[np.argsort(self._lengths[window], kind="stable")]
            parts.append(rng.permutation(window.reshape(-1, self.size)).ravel())
        return np.concatenate([*parts, order[begin + whole :]])

    def rows(self, step: int) -> NDArray[np.int64]:
        """Return the rows of the view that this step uses, (size,)."""
        positions = np.arange(step * self.size, (step + 1) * self.size)
        epochs, offsets = np.divmod(positions, len(self.view))
        parts = [self._order(int(e))[offsets[epochs == e]] for e in np.unique(epochs)]
        return np.concatenate(parts)

    def inputs(self, step: int) -> tuple[Inputs, NDArray[np.int64]]:
        """Return this step's inputs and their rows."""
        rows = self.rows(step)
        told = (self.seed, self.drawn, step, self.beside)
        return self.augmenting.inputs(self.view, rows, *told), rows

    def use(self, step: int) -> Use:
        """Return the rows of its view that this step uses, and in which fixed views."""
        numbers = self.augmenting.numbers(self.seed, self.drawn, step, self.size)
        return Use(self.view, self.rows(step), self.augmenting.name, numbers)

    def views(self, step: int) -> Tensor | None:
        """Return the numbers of the fixed views that a step draws, (size,); None without them."""
        if self.augmenting.views is None or self.augmenting.name == "none":
            return None
        numbers = self.augmenting.numbers(self.seed, self.drawn, step, self.size)
        return torch.from_numpy(numbers)


@dataclass
class CellData:
    """All data that a strategy may learn from. The test split is not among them.

    Attributes:
        task: of the target.
        train: labelled training examples of the target.
        validation: labelled target examples by which the step is chosen.
        unlabelled: target inputs without labels.
        source: the examples of each labelled source domain.
        source_tasks: the task of each source domain.
        holds_out: the seed by which a fifth of each source domain is held out; None: no hold-out.
        held_out: the held-out examples of each source domain; empty without a hold-out.
        attributes: a description of each class of the target, (classes, d); None without.
        described: the same for the classes of each source domain.
        named: the texts of the target's classes, labelled by class; None if no texts are used.
        taught: the same data with the inputs of a teacher; None if the teacher takes the same
            inputs as the student.
    """

    task: Task
    train: View | None
    validation: View | None
    unlabelled: View | None = None
    source: tuple[View, ...] = ()
    source_tasks: tuple[Task, ...] = ()
    attributes: Tensor | None = None
    described: tuple[Tensor, ...] = ()
    named: View | None = None
    holds_out: int | None = None
    held_out: tuple[View, ...] = ()
    taught: CellData | None = None

    def of_steps(self, counts: str) -> CellData:
        """Return the data for steps that count as "steps", or as the "teacher"'s."""
        return self.taught if self.taught is not None and counts == "teacher" else self


_Drawn: TypeAlias = Sequence[NDArray[np.int64]]
"""The rows of each class."""
STRONG = "strong"
"""The augmentation of the second view of unlabelled examples."""


class Episodes:
    """Few-shot tasks drawn from a labelled view: `ways` classes each, relabelled 0, 1, ...

    Args:
        view: the labelled examples to draw from.
        seed: of the seed block.
        size: ways, and shots and queries per class; fewer where the view has fewer.
        augmenting: of support and query alike.
    """

    def __init__(
        self, view: View, seed: int, size: tuple[int, int, int], augmenting: Augmenting
    ) -> None:
        self.view, self.seed, self.augmenting = view, seed, augmenting
        self.ways, self.shots, self.queries = size
        self._rows = {int(c): np.flatnonzero(view.labels == c) for c in np.unique(view.labels)}

    def episode(self, step: int) -> tuple[Labelled, Labelled]:
        """Return the support and the query of this step, which share no example.

        Raises:
            BadInputError: no two classes have two examples.
        """
        support, query = self._drawn(step)
        return self._labelled(support, "support", step), self._labelled(query, "query", step)

    def uses(self, step: int) -> Iterator[Use]:
        """Yield the rows that this step uses: of the support, then of the query."""
        for drawn, part in zip(self._drawn(step), ("support", "query"), strict=True):
            rows = np.concatenate(drawn)
            numbers = self.augmenting.numbers(self.seed, part, step, len(rows))
            yield Use(self.view, rows, self.augmenting.name, numbers)

    def _drawn(self, step: int) -> tuple[_Drawn, _Drawn]:
        rng = generator(self.seed, "episode", step)
        known = [c for c, rows in self._rows.items() if len(rows) > 1]
        if len(known) < 2:
            raise BadInputError("episodes need a source domain with two examples of two classes")
        classes = rng.choice(known, min(self.ways, len(known)), replace=False)
        drawn = [rng.permutation(self._rows[int(c)]) for c in classes]
        shots = min(self.shots, *(len(rows) - 1 for rows in drawn))
        support = [rows[:shots] for rows in drawn]
        query = [rows[shots : shots + self.queries] for rows in drawn]
        return support, query

    def _labelled(self, drawn: Sequence[NDArray[np.int64]], part: str, step: int) -> Labelled:
        rows = np.concatenate(drawn)
        labels = torch.from_numpy(np.repeat(np.arange(len(drawn)), [len(own) for own in drawn]))
        inputs = self.augmenting.inputs(self.view, rows, self.seed, part, step)
        return Labelled(inputs, labels, torch.from_numpy(rows))


class StepBatches(Dataset[Batch]):
    """The batches of a range of steps, each a pure function of seed and step.

    Args:
        data: of the cell.
        seed: of the seed block.
        steps: their numbers, counted from the first step of the strategy.
        batch_size: of each stream.
        augmenting: of all inputs.
        reads: the streams to put into the batches; streams that the cell lacks are left out.
        episode: ways, and shots and queries per class, of the stream `episode`.
        group_by: "length": texts of similar length share a step.
    """

    def __init__(
        self,
        data: CellData,
        seed: int,
        steps: range,
        batch_size: int,
        augmenting: Augmenting,
        reads: Sequence[StreamName] = ("target",),
        episode: tuple[int, int, int] = (5, 1, 15),
        group_by: str | None = None,
    ) -> None:
        self.steps, self.attributes = steps, None
        making = partial(Stream, seed=seed, batch_size=batch_size, group_by=group_by)

        def stream(view: View | None, name: str) -> Stream | None:
            return making(view, name, augmenting=augmenting) if view is not None else None

        own, source = data.unlabelled, data.source
        self.target = stream(data.train, "target") if "target" in reads else None
        self.taught = None  # the same rows and the same augmentation as the stream `target`
        theirs = data.taught.train if data.taught is not None else None
        if {"target", "taught"} <= {*reads} and theirs is not None:
            self.taught = making(theirs, "target", augmenting=augmenting, beside=data.train)
        self.again = None  # the same rows as the stream `target`, augmented anew
        if {"target", "again"} <= {*reads} and data.train is not None:
            self.again = making(data.train, "target", augmenting=augmenting, drawn="again")
        self.unlabelled = stream(own, "unlabelled") if {"unlabelled", "views"} & {*reads} else None
        self.strong = None
        if "views" in reads and own is not None:
            strongly = augmenting._replace(name=STRONG)
            self.strong = making(own, "unlabelled", augmenting=strongly, drawn=STRONG)
        self.alone = "unlabelled" in reads
        self.source = [
            making(view, f"source{i or ''}", augmenting=augmenting)
            for i, view in enumerate(source if "source" in reads else ())
        ]
        self.episodes = None
        if "episode" in reads and source:
            self.episodes = Episodes(source[0], seed, episode, augmenting)
        if "attributes" in reads:
            self.attributes = data.attributes

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def streams(self) -> list[Stream]:
        """All streams that are read, without episodes."""
        labelled = (self.target, self.taught, self.again)
        found = (*labelled, self.unlabelled, self.strong, *self.source)
        return [stream for stream in found if stream is not None]

    def warm(self) -> None:
        """Prepare the inputs of all steps ahead.

        A split that is kept in memory is prepared whole, one on disk only in the rows used.
        """
        views = [stream.view for stream in self.streams]
        views += [self.episodes.view] if self.episodes is not None else []
        for view in views:
            view.prepared.warm()
        if not any(view.prepared.is_on_disk for view in views):
            return
        used: dict[int, tuple[View, list[NDArray[np.int64]]]] = {}
        for use in self.uses():
            used.setdefault(id(use.view), (use.view, []))[1].append(use.rows)
        for view, rows in used.values():
            view.prepared.have(view.indices[np.unique(np.concatenate(rows))])

    def uses(self) -> Iterator[Use]:
        """Yield the rows of each view that are used, step by step."""
        for step in self.steps:
            yield from (stream.use(step) for stream in self.streams)
            if self.episodes is not None:
                yield from self.episodes.uses(step)

    def __getitem__(self, place: int) -> Batch:
        step = self.steps[place]
        batch = Batch(attributes=self.attributes)
        if self.target is not None:
            batch.target = _labelled(self.target, step)
            if self.taught is not None:
                batch.target.taught = self.taught.inputs(step)[0]
            if self.again is not None:
                batch.target.again = self.again.inputs(step)[0]
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
    known = stream.view.labels
    labels = torch.from_numpy(known[rows] if len(known) else known)
    views = stream.views(step)
    return Labelled(inputs, labels, torch.from_numpy(rows), views)
