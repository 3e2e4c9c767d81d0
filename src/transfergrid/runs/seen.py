"""The data that a strategy sees between steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from transfergrid.data.batches import Labelled, StreamName
from transfergrid.data.inputs import Inputs
from transfergrid.data.streams import CellData
from transfergrid.data.views import View
from transfergrid.records.seeds import generator
from transfergrid.runs.machine import Machine, bringing
from transfergrid.runs.predictions import said
from transfergrid.runs.standing import Standing
from transfergrid.strategies.base import Strategy

AT_ONCE = 256
"""Batch size between steps: large, because a strategy may compute statistics of a batch."""


HALF = (torch.float16, torch.bfloat16)
"""Output types of mixed precision; between steps they are cast to float32, like the weights."""
StillNow: TypeAlias = Callable[[], Standing | None]
"""Returns the frozen, cached blocks; called each time, as a strategy may change its weights."""


class SeenView:
    """All examples of one stream; see `strategies.phases.View`."""

    def __init__(
        self,
        strategy: Strategy,
        view: View,
        machine: Machine,
        labelled: bool,
        standing: StillNow,
        by: Callable[[Inputs], Tensor] | None = None,
    ) -> None:
        self.by = by or strategy.features
        self.strategy, self.view, self.machine, self.labelled = strategy, view, machine, labelled
        self.standing = standing

    @cached_property
    def labels(self) -> Tensor:
        """(n,) int64 of classes, or numbers (n, ...); empty where the stream has none."""
        found = self.view.labels if self.labelled else self.view.labels[:0]
        return torch.from_numpy(found).to(self.machine.device)

    def __len__(self) -> int:
        return len(self.view)

    def inputs(self) -> Inputs:
        """Return all inputs in order, not augmented."""
        inputs: Inputs = self._brings(self.view.inputs(self.view.rows))
        return inputs

    def batches(self) -> Iterator[Labelled]:
        """Yield all examples in batches, not augmented.

        They are shuffled by the seed block: a pool may be sorted by class, and a batch would then
        have the statistics of few classes. Sequences of similar length still share a batch.
        """
        order = generator(self.strategy.block_seed, "batches").permutation(len(self.view))
        for batch in self.machine.evaluation_loader(self.view.part(order), size=AT_ONCE):
            rows = torch.from_numpy(order)[batch.rows]
            yield self._brings(dataclasses.replace(batch, rows=rows))

    @cached_property
    def _brings(self) -> Callable[[Any], Any]:
        return bringing(self.machine, self.strategy.training_plan)

    def features(self) -> Tensor:
        """Return the examples' embeddings with the present weights, (n, dim)."""
        return self._said(self.by)

    def outputs(self) -> Tensor:
        """Return the strategy's predictions with the present weights, (n, outputs)."""
        return self._said(self.strategy.predict)

    def _said(self, by: Callable[[Inputs], Tensor]) -> Tensor:
        found = said(self.strategy, by, self.view, self.machine, standing=self.standing())
        return (
            found.float() if found.dtype in HALF else found
        )  # outside of steps the weights are float32


class Seen:
    """The streams that a phase reads; see `strategies.phases.Data`."""

    def __init__(
        self,
        strategy: Strategy,
        data: CellData,
        machine: Machine,
        reads: Sequence[StreamName],
        standing: StillNow = lambda: None,
    ) -> None:
        self._told = (data, machine, reads)

        def seen(view: View | None, *names: str, labelled: bool = True) -> SeenView | None:
            if view is None or not {*names} & {*reads}:
                return None
            return SeenView(strategy, view, machine, labelled, standing)

        self.target = seen(data.train, "target")
        self.unlabelled = seen(data.unlabelled, "unlabelled", "views", labelled=False)
        views = [seen(view, "source", "episode") for view in data.source]
        self.source = tuple(view for view in views if view is not None)
        self.named = None
        if data.named is not None and "named" in reads:
            told_by = (lambda: None, strategy.text_features)  # no block of the text tower is cached
            self.named = SeenView(strategy, data.named, machine, True, *told_by)
        told = data.attributes if "attributes" in reads else None
        self.attributes = None if told is None else told.to(machine.device)
        described = data.described if "attributes" in reads else ()
        self.described = tuple(one.to(machine.device) for one in described)

    def by(self, strategy: Strategy) -> Seen:
        """Return the same streams with a teacher's inputs, embedded and predicted by it."""
        data, machine, reads = self._told
        return Seen(strategy, data.of_steps("teacher"), machine, reads)
