"""The frozen leading blocks of a network, whose outputs are cached on disk.

Whatever passes the same examples through the same weights, in any cell, phase, evaluation or score,
reads the outputs from the cache. The cache key holds all that they depend on: weights,
architecture, preprocessing, data, view, precision, kind of device, code, and package versions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.data import views
from transfergrid.data.inputs import Inputs
from transfergrid.data.streams import Augmenting, CellData, Use
from transfergrid.data.views import Prepared, View, size_of, take
from transfergrid.records.ledgers.cached import Arrays, Compute, Entry, Rows, Store, TooLargeError
from transfergrid.records.provenance import versions
from transfergrid.runs.cost import forward_flops
from transfergrid.runs.machine import Machine, applied, at_rest
from transfergrid.runs.made_by import code_of, kinds_of, weights_of
from transfergrid.runs.prefixes import can_be_cut, is_calm, longest_of, of_one_length
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Phase
from transfergrid.strategies.still import still_blocks

FEWEST = 16
"""Least size of a batch: CPU kernels may round otherwise on smaller ones."""
_flops: dict[tuple[Any, ...], int] = {}
"""Floating-point operations of leading blocks, by (architecture, blocks, shapes of inputs)."""


class Viewed(NamedTuple):
    """One view of each example: a numbered augmented one, or (number -1) the example as it is."""

    augmentation: str = "none"
    number: int = -1


AS_IT_IS = Viewed()


class Standing:
    """A strategy's frozen leading blocks, with their weights of now.

    Args:
        strategy: attached; these blocks must not change while this object is used.
        blocks: how many blocks, from 1.
        machine: where they are run.
        store: the cache of their outputs.
        trainer: the trainer in which the strategy is training now; None: it is not training.
        represented: whether the output of the whole backbone is the strategy's `represent`, where
            it has one, rather than the backbone's own embedding.
    """

    def __init__(
        self,
        strategy: Strategy,
        blocks: int,
        machine: Machine,
        store: Store,
        trainer: pl.Trainer | None = None,
        represented: bool = True,
    ) -> None:
        self.strategy, self.blocks, self.machine, self.store = strategy, blocks, machine, store
        self.trainer = trainer
        backbone, plan = strategy.backbone, strategy.training_plan
        whole = len(backbone.blocks("fine"))
        self.is_sequence = blocks < whole and backbone.image_shape is None
        """Whether the blocks' output for an example is a sequence as long as the example."""
        self.represented = represented and bool(strategy.representation)
        at_rest(machine, plan).precision_plugin.convert_module(strategy)  # the precision it runs in
        kinds = kinds_of(backbone) | ({type(strategy)} if self.represented else set())
        rooms = ("data", "sources", *(("strategies",) if self.represented else ()))
        self._about = {
            "network": backbone.architecture,
            "blocks": blocks if blocks < whole else "all",
            "weights": weights_of(backbone, blocks),
            "inputs": f"{backbone.preprocess!r} {backbone.preprocess}",
            "precision": plan.precision,
            "device": machine.device.type,
            "code": code_of(kinds, rooms),
            "versions": versions(),
        }
        if self.represented:
            self._about["made"] = strategy.representation

    def has_moved(self) -> bool:
        """Return whether the blocks' weights have changed since this object was made."""
        return weights_of(self.strategy.backbone, self.blocks) != self._about["weights"]

    def view(self, view: View) -> StandingView:
        """Return a view of the same examples whose inputs are these blocks' outputs."""
        assert view.prepared.place is not None, "nobody could say what is kept"
        return StandingView(view.prepared, view.indices, view.labels, self)

    def entry(self, examples: Prepared, viewed: Viewed) -> Entry:
        """Return the cache entry of the blocks' outputs for one view of a split."""
        told = list(viewed) if viewed.number >= 0 else "as it is"
        return self.store.entry({**self._about, "data": examples.place, "view": told})

    def told(self, name: str, of: View, by: Callable[[Inputs], tuple[Tensor, ...]]) -> Arrays:
        """Return other values that the network gives for each example, cached likewise.

        Args:
            name: name of these values in the cache key; another computation needs another name.
            of: the examples, not augmented.
            by: computes the values from inputs.
        """
        about = {**self._about, "data": of.prepared.place, "view": "as it is", "told": name}
        return self.store.entry(about).rows(of.indices, self.computing(of.prepared, AS_IT_IS, by))

    def computing(
        self,
        examples: Prepared,
        viewed: Viewed,
        by: Callable[[Inputs], tuple[Tensor, ...]] | None = None,
    ) -> Compute:
        """Return the function that computes missing rows of an entry, by the blocks or `by`."""
        augmented = viewed if viewed.number >= 0 else None

        def compute(missing: Rows) -> Iterator[tuple[Rows, Arrays]]:
            part = View(examples.few(len(missing)), missing)
            with applied(self.strategy, self.machine, self.trainer) as brought:
                made_by = by or self._network(examples)
                for batch in self.machine.evaluation_loader(part, augmented):
                    assert batch.rows is not None
                    rows = missing[batch.rows.numpy()]
                    made = made_by(_filled(brought(batch).inputs))
                    yield rows, tuple(_as_array(part[: len(rows)]) for part in made)

        return compute

    def flops(self, inputs: Inputs) -> int:
        """Return the floating-point operations of these blocks; counted once per process."""
        backbone = self.strategy.backbone
        parts = inputs.values() if isinstance(inputs, dict) else (inputs,)
        key = (backbone.architecture, self.blocks, *(tuple(part.shape) for part in parts))
        if key not in _flops:
            behind = backbone if self.blocks == len(backbone.blocks("fine")) else None
            _flops[key] = forward_flops(behind or backbone.prefix(self.blocks), inputs)
        return _flops[key]

    def _network(self, examples: Prepared) -> Callable[[Inputs], tuple[Tensor, ...]]:
        backbone = self.strategy.backbone
        if self.blocks == len(backbone.blocks("fine")):
            by = self.strategy.represent if self.represented else backbone.embed
            return lambda inputs: (by(inputs),)
        prefix = backbone.prefix(self.blocks)
        return partial(of_one_length, prefix, longest_of(examples)) if self.is_sequence else prefix

    def trimmed(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return sequences cut to the longest of them, as a batch of inputs would be."""
        if not self.is_sequence:
            return parts
        *sequences, lengths = parts
        longest = max(1, int(lengths.max())) if len(lengths) else 1
        return tuple(part[:, :longest].contiguous() for part in sequences)


class StandingView(View):
    """A view whose inputs are the cached outputs of frozen blocks.

    Args:
        prepared: the split's prepared examples.
        indices: places of this view's examples in the split.
        labels: the labels that a reader of the view may see.
        standing: the frozen blocks.
    """

    def __init__(
        self,
        prepared: Prepared,
        indices: NDArray[np.int64],
        labels: Any,
        standing: Standing,
    ) -> None:
        super().__init__(prepared, indices, labels)
        self.standing = standing
        self._held: dict[Viewed, tuple[Rows, tuple[Tensor, ...] | None]] = {}

    def part(self, rows: NDArray[np.int64]) -> StandingView:
        """See `View.part`."""
        return self.standing.view(View(self.prepared, self.indices, self.labels).part(rows))

    def alone(self, row: int) -> Any:
        """See `View.alone`."""
        entry, compute = self._kept(AS_IT_IS)
        found = tuple(map(torch.from_numpy, entry.rows(self.indices[[row]], compute)))
        return self.standing.trimmed(found)

    def reading_order(self) -> NDArray[np.int64]:
        """Return the rows in their own order, except where sequences are padded."""
        return super().reading_order() if self.standing.is_sequence else self.rows

    def warm(self) -> None:
        """Prepare nothing: the examples themselves are read only where the cache has no output."""

    def hold(self, rows: Rows, viewed: Viewed = AS_IT_IS) -> None:
        """Put the outputs of these rows into the cache, and into memory where they fit.

        Raises:
            TooLargeError: they would take more space than the whole cache may.
        """
        wanted = np.unique(rows)
        entry, compute = self._kept(viewed)
        entry.have(self.indices[wanted], compute)
        small = entry.row_bytes * len(wanted) <= views.CACHE_BYTES
        arrays = entry.rows(self.indices[wanted], compute) if small else ()
        tensors = tuple(map(torch.from_numpy, arrays)) if small else None
        self._held[viewed] = (wanted, tensors)

    def _kept(self, viewed: Viewed) -> tuple[Entry, Compute]:
        where = (self.prepared, viewed)
        return self.standing.entry(*where), self.standing.computing(*where)

    def inputs(
        self,
        rows: NDArray[np.int64],
        augmentation: str = "none",
        rng: torch.Generator | None = None,
        beside: View | None = None,
    ) -> Inputs:
        """Return the blocks' outputs for these rows, not augmented."""
        assert augmentation == "none" or rng is None, "a fresh view is of no cache"
        return self.standing.trimmed(self._of(rows, AS_IT_IS))  # type: ignore[return-value]

    def fixed(
        self, rows: NDArray[np.int64], augmentation: str, numbers: NDArray[np.int64]
    ) -> Inputs:
        """See `View.fixed`."""
        found: tuple[Tensor, ...] | None = None
        for number in np.unique(numbers):
            here = torch.from_numpy(np.flatnonzero(numbers == number))
            parts = self._of(rows[here.numpy()], Viewed(augmentation, int(number)))
            if found is None:
                found = tuple(p.new_empty((len(rows), *p.shape[1:])) for p in parts)
            for whole, own in zip(found, parts, strict=True):
                whole[here] = own
        assert found is not None
        return self.standing.trimmed(found)  # type: ignore[return-value]

    def _of(self, rows: Rows, viewed: Viewed) -> Any:
        if viewed not in self._held or not _are_in(rows, self._held[viewed][0]):
            self.hold(self.rows if viewed == AS_IT_IS else rows, viewed)
        known, tensors = self._held[viewed]
        if tensors is not None:
            places = torch.from_numpy(np.searchsorted(known, rows))
            return tuple(tensor[places] for tensor in tensors)
        entry, compute = self._kept(viewed)
        return tuple(map(torch.from_numpy, entry.rows(self.indices[rows], compute)))


def standing(
    strategy: Strategy,
    phases: Sequence[Phase],
    machine: Machine,
    examples: Sequence[View | None],
    trainer: pl.Trainer | None = None,
    represented: bool = True,
) -> Standing | None:
    """Return the leading blocks that stay frozen in all these phases; None if none can be cached.

    Args:
        strategy: attached.
        phases: the phases that train; without any, all blocks count as frozen.
        machine: where to run, with the cache.
        examples: the views that will be read.
        trainer: the trainer in which the strategy is training now; None: it is not training.
        represented: see `Standing`.
    """
    store = machine.store
    if store is None or not _is_known(strategy, examples):
        return None
    blocks = min((still_blocks(strategy, phase) for phase in phases), default=None)
    backbone = strategy.backbone
    whole = len(backbone.blocks("fine"))
    blocks = whole if blocks is None else blocks
    if 0 < blocks < whole:
        if not (can_be_cut(backbone, blocks) and is_calm(strategy, blocks)):
            return None
        seen = [view.prepared for view in examples if view is not None]
        if backbone.image_shape is None and not all(map(longest_of, seen)):
            return None  # the length of the sequences is not known
    return Standing(strategy, blocks, machine, store, trainer, represented) if blocks else None


def held(
    found: Standing, data: CellData, uses: Callable[[CellData], Iterable[Use]]
) -> CellData | None:
    """Return a cell's data as outputs of frozen blocks, all cached; None if they are too large.

    Args:
        found: the frozen blocks.
        data: the cell's data.
        uses: returns the rows and augmented views of such data that will be read.
    """
    made = replace(
        data,
        train=found.view(data.train) if data.train is not None else None,
        unlabelled=found.view(data.unlabelled) if data.unlabelled is not None else None,
        source=tuple(found.view(view) for view in data.source),
    )
    wanted: dict[tuple[int, Viewed], tuple[StandingView, list[Rows]]] = {}
    for use in uses(made):
        if not isinstance(use.view, StandingView):
            continue  # a teacher's view: a teacher takes inputs of its own
        for number in np.unique(use.numbers):
            viewed = AS_IT_IS if number < 0 else Viewed(use.augmentation, int(number))
            of = wanted.setdefault((id(use.view), viewed), (use.view, []))
            of[1].append(use.rows[use.numbers == number])
    try:
        for (_, viewed), (view, rows) in wanted.items():
            view.hold(np.concatenate(rows), viewed)
    except TooLargeError:
        return None
    return made


def are_fixed(phase: Phase, augmenting: Augmenting) -> bool:
    """Return whether a phase reads the same inputs again and again, so that caching pays."""
    return augmenting.is_fixed and ("views" not in phase.reads or augmenting.views is not None)


def _is_known(strategy: Strategy, examples: Sequence[View | None]) -> bool:
    """Return whether a cache key can name the data and the preprocessing."""
    backbone = getattr(strategy, "backbone", None)
    return (
        isinstance(backbone, Backbone)
        and dataclasses.is_dataclass(type(backbone.preprocess))
        and all(view.prepared.place is not None for view in examples if view is not None)
    )


def _are_in(rows: Rows, known: Rows) -> bool:
    """Return whether all `rows` are in `known`, which is sorted."""
    places = np.searchsorted(known, rows)
    return bool(np.all(known.take(places, mode="clip") == rows)) if known.size else not rows.size


def _filled(inputs: Inputs) -> Inputs:
    """Return inputs of at least `FEWEST` examples; fewer are repeated."""
    size = size_of(inputs)
    return inputs if size >= FEWEST else take(inputs, torch.arange(FEWEST) % size)


def _as_array(part: Tensor) -> NDArray[Any]:
    """Return a tensor as a NumPy array; bfloat16, which NumPy lacks, becomes float32."""
    own = part.float() if part.dtype is torch.bfloat16 else part
    found: NDArray[Any] = own.detach().cpu().numpy()
    return found
