"""Which step's weights are kept: the best by the validation part, or by a rule without labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from transfergrid.data.task import better
from transfergrid.data.views import View
from transfergrid.records import selection
from transfergrid.records.selection import ChosenBy, Look, Selection
from transfergrid.runs.curve import Curves
from transfergrid.runs.machine import Machine
from transfergrid.runs.predictions import said
from transfergrid.runs.selection.selecting import Selecting
from transfergrid.runs.standing import Standing
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Phase


@dataclass
class Best:
    """The best look so far, with the weights at that step."""

    step: int
    value: float
    weights: dict[str, Tensor]


class Choice:
    """Scores the validation part at intervals ("looks") and keeps the weights of the best step.

    Without a validation part a rule may choose the step without target labels (`selecting`). With
    neither, no step is chosen.

    Args:
        strategy: the strategy that is trained.
        view: the validation part; None if there is none.
        taught: the validation part as a teacher takes it; None if it takes the same inputs.
        machine: where it is scored.
        curves: receive each look, and say which metric decides.
        selecting: looks at the run if nothing validates; None: it is not looked at.
    """

    def __init__(
        self,
        strategy: Strategy,
        view: View | None,
        taught: View | None,
        machine: Machine,
        curves: Curves,
        selecting: Selecting | None = None,
    ) -> None:
        self.strategy, self.machine, self.curves = strategy, machine, curves
        self.view, self.taught = view, taught
        self.selecting = selecting if view is None else None
        self.looks: list[Look] = []
        """Looks without target labels since the last `begin_anew`."""
        self.best: Best | None = None
        self._view_of: tuple[Standing, View] | None = None
        self.looked: tuple[str, int] = ("steps", 0)
        """The last look: what its phase counts as ("steps" or "teacher"), and after which step."""

    def is_due(self, step: int) -> bool:
        """Return whether to look after this step, counted over all phases with the same count."""
        plan = self.strategy.training_plan
        return step % math.ceil(plan.steps / plan.validations) == 0

    def look(
        self,
        phase: Phase,
        step: int,
        trainer: pl.Trainer | None = None,
        standing: Standing | None = None,
    ) -> float | None:
        """Score the validation part; keep the weights if they are the best, the first of equals.

        Return the score; None if nothing validates, or the phase is not judged.

        Args:
            phase: says how the strategy predicts.
            step: the step after which this look happens.
            trainer: the trainer in which the strategy is training now; None: it is not training.
            standing: leading blocks that are frozen in this phase, with cached outputs.
        """
        self.looked = (phase.counts, step)
        if self.view is None or not phase.judged:
            self._select(phase, step, trainer)
            return None
        value = self.machine.peers.told(lambda: self._score(phase, trainer, standing))
        assert value is not None
        if self.best is None or better(self.curves.metric, value, self.best.value):
            self._keep(step, value)
        return value

    def _score(self, phase: Phase, trainer: pl.Trainer | None, standing: Standing | None) -> float:
        """Score the validation part, and add the score to the curve if it belongs there."""
        assert self.view is not None
        strategy, by = self.strategy, phase.predicts or self.strategy.predict
        view = self._behind(standing)
        if phase.counts == "teacher" and self.taught is not None:
            view = self.taught
        outputs = said(strategy, by, view, self.machine, trainer, standing).float().cpu()
        decoded, labels = strategy.task.decode(outputs), torch.from_numpy(self.view.labels)
        is_point = phase.counts == "steps" and phase.dial is None
        return self.curves.looked(decoded, labels, kept=is_point)

    def _keep(self, step: int, value: float) -> None:
        """Keep the strategy's present state as the best one so far."""
        # The whole state: a strategy may itself write what no optimiser trains, such as a mean.
        state = self.strategy.state_dict()
        self.best = Best(step, value, {n: v.detach().clone() for n, v in state.items()})

    def _select(self, phase: Phase, step: int, trainer: pl.Trainer | None) -> None:
        """Look without target labels; keep the weights if a rule finds them the best."""
        if self.selecting is None or not phase.judged or phase.counts == "teacher":
            return
        by, rule = phase.predicts or self.strategy.predict, self.selecting.rule
        look = self.selecting.look(self.strategy, by, step, self.machine, trainer)
        self.looks.append(look)
        value = self.machine.peers.told(lambda: look.scores.get(rule) if rule else None)
        if value is None or rule is None:
            return
        if self.best is None or selection.better(rule, value, self.best.value):
            self._keep(step, value)

    @property
    def selected(self) -> Selection | None:
        """The looks without target labels, for the record; None if there are none."""
        return self.selecting.told(self.looks) if self.selecting is not None else None

    @property
    def chosen_by(self) -> ChosenBy:
        """What chose the best look: the validation part, or the name of a rule."""
        rule = self.selecting.rule if self.selecting is not None else None
        return rule or "validation"

    def _behind(self, standing: Standing | None) -> View:
        """Return the validation part, as outputs of frozen blocks if any; one view per phase."""
        assert self.view is not None
        if standing is None:
            return self.view
        if self._view_of is None or self._view_of[0] is not standing:
            self._view_of = (standing, standing.view(self.view))
        return self._view_of[1]

    def take(self) -> None:
        """Give the strategy the weights of the best look, if there was one."""
        if self.best is not None:
            self.strategy.load_state_dict(self.best.weights)

    def begin_anew(self) -> None:
        """Load the best weights so far, and forget all looks."""
        self.take()
        self.best, self.looks = None, []

    def state(self) -> dict[str, Any]:
        """Return the best look and the others as plain values and tensors."""
        best = vars(self.best) if self.best else None
        looks = [asdict(look) for look in self.looks]
        return {"best": best, "looked": self.looked, "looks": looks}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned."""
        self.best = Best(**state["best"]) if state["best"] else None
        self.looked = tuple(state["looked"])
        self.looks = [Look(**look) for look in state.get("looks", ())]
