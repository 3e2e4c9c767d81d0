"""Which step's weights are kept: those of the best look at the validation part, or by a rule."""

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
    """The best look so far, and the weights that it was of."""

    step: int
    value: float
    weights: dict[str, Tensor]


class Choice:
    """Looks at the validation part as a run goes on.

    Without one a rule may choose by what it sees of the same run without target labels; with
    neither, nothing is ever chosen.

    Args:
        strategy: that is trained.
        view: the validation part.
        taught: the same as a teacher takes it; None where it takes the same inputs.
        machine: where it is scored.
        curves: are told each look, and say which metric decides.
        selecting: looks where nothing validates; None: nobody does.
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
        """Those without target labels since what they chose was last taken."""
        self.best: Best | None = None
        self._view_of: tuple[Standing, View] | None = None
        self.looked: tuple[str, int] = ("steps", 0)
        """At which step the last look was, and as what that counts."""

    def is_due(self, step: int) -> bool:
        """Return whether to look after this step, counted over all phases that count alike."""
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

        Return the score; None where nothing validates, or the phase is not judged.

        Args:
            phase: says by what it is scored.
            step: after which it is looked.
            trainer: in which the strategy is training at this moment, if it is.
            standing: leading blocks that do not move in this phase.
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
        """Score the validation part, and make a point of the curve of it."""
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
        """Take the strategy as it stands for the best one so far."""
        # All of it: what nobody learns a strategy may yet write itself, such as a mean.
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
        """What was seen without target labels; None where nobody looked."""
        return self.selecting.told(self.looks) if self.selecting is not None else None

    @property
    def chosen_by(self) -> ChosenBy:
        """By what the best look is the best."""
        rule = self.selecting.rule if self.selecting is not None else None
        return rule or "validation"

    def _behind(self, standing: Standing | None) -> View:
        """Return the validation part as blocks leave it: the same one for all looks of a phase."""
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
        """Start from the best so far, and forget what was looked at."""
        self.take()
        self.best, self.looks = None, []

    def state(self) -> dict[str, Any]:
        """Return all of it as plain values and tensors."""
        best = vars(self.best) if self.best else None
        looks = [asdict(look) for look in self.looks]
        return {"best": best, "looked": self.looked, "looks": looks}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self.best = Best(**state["best"]) if state["best"] else None
        self.looked = tuple(state["looked"])
        self.looks = [Look(**look) for look in state.get("looks", ())]
