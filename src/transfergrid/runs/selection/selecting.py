"""Looks at a run of a strategy without a target label, and finds what each rule says of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from transfergrid.data.budgets import Draw
from transfergrid.data.inputs import Inputs, Preprocess
from transfergrid.data.opened import OpenDomain
from transfergrid.data.streams import CellData
from transfergrid.data.views import View
from transfergrid.records.metrics import METRICS
from transfergrid.records.seeds import generator
from transfergrid.records.selection import OF_SOURCE, RULES, Look, RuleName, Selection
from transfergrid.records.training import Training
from transfergrid.runs.machine import Machine
from transfergrid.runs.predictions import said
from transfergrid.runs.selection.rules import SCORES
from transfergrid.runs.selection.shown import Shown
from transfergrid.strategies.base import Strategy

MOST = 1000
"""Examples of each part that are looked at, at most."""


@dataclass
class Selecting:
    """What is looked at, and why.

    Attributes:
        rule: by which a step is chosen; None: by none, the last step is kept.
        metric: that decides on the target.
        target: its inputs, without labels.
        source: examples of each source domain that are learned from.
        held_out: examples of these that are not.
        test: the test part, for the oracle and for nothing else; None unless that is asked for.
    """

    rule: RuleName | None
    metric: str
    target: View
    source: tuple[View, ...] = ()
    held_out: tuple[View, ...] = ()
    test: View | None = None

    @property
    def rules(self) -> tuple[RuleName, ...]:
        """The rules that are computed: all that there can be where they are to be compared."""
        if self.test is None:
            return (self.rule,) if self.rule else ()
        return tuple(rule for rule in RULES if self.held_out or rule not in OF_SOURCE)

    def look(
        self,
        strategy: Strategy,
        by: Callable[[Inputs], Tensor],
        step: int,
        machine: Machine,
        trainer: pl.Trainer | None = None,
    ) -> Look:
        """Return what is found of a strategy as it stands.

        Args:
            strategy: that is trained.
            by: what predicts.
            step: after which it is looked.
            machine: where.
            trainer: in which the strategy is training at this moment, if it is.
        """
        cut = strategy.cut

        def made(by: Callable[[Inputs], Tensor], views: tuple[View, ...]) -> Tensor:
            found = [said(strategy, by, view, machine, trainer) for view in views]
            return torch.cat(found).detach().double().cpu()

        parts = {"target": (self.target,), "held_out": self.held_out, "source": self.source}
        shown = Shown(
            predict=lambda part: made(by, parts[part]),
            embed=lambda part: made(strategy.features, parts[part]),
            labels=_labels(self.held_out),
            score=lambda decoded, labels: self._score(strategy, decoded, labels),
        )
        scores: dict[str, float | None] = {rule: _known(SCORES[rule](shown)) for rule in self.rules}
        oracle = None
        if self.test is not None:
            decoded = strategy.task.decode(made(by, (self.test,)).float())
            labels = torch.from_numpy(self.test.labels)
            oracle = _known(strategy.task.score(self.metric, decoded, labels))
        strategy.cut = cut
        counts = shown.target.argmax(1).bincount()
        return Look(
            step=step,
            scores=scores,
            largest_share=float(counts.max()) / len(shown.target),
            oracle=oracle,
        )

    def _score(self, strategy: Strategy, decoded: Tensor, labels: Tensor) -> float:
        value = strategy.task.score(self.metric, decoded, labels)
        return value if METRICS[self.metric].higher_is_better else -value

    def told(self, looks: list[Look]) -> Selection:
        """Return what a record says of these looks."""
        held = sum(map(len, self.held_out))
        return Selection(rule=self.rule, target=len(self.target), source=held, looks=tuple(looks))


def selecting_of(
    target: OpenDomain,
    drawn: Draw,
    data: CellData,
    training: Training,
    preprocess: Preprocess,
    seed: int,
) -> Selecting | None:
    """Return what looks at a cell's run without target labels; None where nobody is to.

    Args:
        target: the cell's.
        drawn: of its pool.
        data: what is learned from, with what is held out of the source.
        training: says by which rule, if by any, and whether the oracle is asked for.
        preprocess: of inputs.
        seed: of the seed block.
    """
    if data.validation is not None or not asks(training):
        return None
    hidden = np.empty(0, dtype=np.int64)
    prepared = target.view("pool", preprocess, drawn.unlabelled).prepared
    return Selecting(
        rule=training.selection,
        metric=target.domain.metric,
        target=few(View(prepared, drawn.unlabelled, hidden), seed, "target"),
        source=tuple(few(v, seed, f"source{i}") for i, v in enumerate(data.source)),
        held_out=tuple(few(v, seed, f"held out{i}") for i, v in enumerate(data.held_out)),
        test=target.whole("test", preprocess) if training.oracle else None,
    )


def asks(training: Training) -> bool:
    """Whether a training asks for looks without target labels."""
    return training.selection is not None or bool(training.oracle)


def few(view: View, seed: int, name: str) -> View:
    """Return at most `MOST` of a view's examples, drawn by the seed block, whatever their class."""
    if len(view) <= MOST:
        return view
    return view.part(np.sort(generator(seed, "selection", name).permutation(len(view))[:MOST]))


def _labels(views: tuple[View, ...]) -> Tensor | None:
    return torch.from_numpy(np.concatenate([view.labels for view in views])) if views else None


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
