"""Looks at a run of a strategy without target labels, and computes the score of each rule."""

from __future__ import annotations

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
from transfergrid.records.files.border import LARGEST
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
"""Most examples of each part that are looked at."""


@dataclass
class Selecting:
    """The examples that a run is looked at on, and the rule that chooses its step.

    Attributes:
        rule: the rule that chooses the step; None: the last step is kept.
        metric: the metric that decides on the target.
        target: target inputs, without labels.
        source: examples of each source domain that are learned from.
        held_out: examples of each source domain that are held out.
        test: the test part, for the oracle and nothing else; None unless the oracle is asked for.
    """

    rule: RuleName | None
    metric: str
    target: View
    source: tuple[View, ...] = ()
    held_out: tuple[View, ...] = ()
    test: View | None = None

    @property
    def rules(self) -> tuple[RuleName, ...]:
        """The rules to compute: `rule` alone; with the oracle all possible ones, to compare."""
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
        """Return the rules' scores of a strategy in its present state.

        Args:
            strategy: the strategy that is trained.
            by: the function that predicts.
            step: the step after which this look happens.
            machine: where to run.
            trainer: the trainer in which the strategy is training now; None: it is not training.
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
        """Return the record's entry on these looks."""
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
    """Return what looks at a cell's run without target labels; None if that is not asked for.

    None also if the cell has a validation part.

    Args:
        target: the cell's target.
        drawn: the draw from its pool.
        data: the data learned from, with the held-out source examples.
        training: says which rule to use, if any, and whether the oracle is asked for.
        preprocess: preprocessing of inputs.
        seed: the seed block.
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
    """Return whether a training asks for looks without target labels."""
    return training.selection is not None or bool(training.oracle)


def few(view: View, seed: int, name: str) -> View:
    """Return at most `MOST` of a view's examples, drawn by the seed block regardless of class."""
    if len(view) <= MOST:
        return view
    return view.part(np.sort(generator(seed, "selection", name).permutation(len(view))[:MOST]))


def _labels(views: tuple[View, ...]) -> Tensor | None:
    return torch.from_numpy(np.concatenate([view.labels for view in views])) if views else None


def _known(value: float) -> float | None:
    """Return a score, or None where there is none: not finite, or larger than a record can hold."""
    return value if abs(value) < LARGEST else None
