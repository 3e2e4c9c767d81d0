"""Runs a strategy's phases with Lightning: the only place in which anything is trained.

After any step a run can be saved as a plain `state` and resumed from it, here or in another
process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

import torch
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor

from transfergrid.data.batches import Batch
from transfergrid.data.streams import CellData
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.process import stopping
from transfergrid.records.process.telling import GOES_ON, tell
from transfergrid.records.record import Path
from transfergrid.records.seeds import stream_seed
from transfergrid.runs.choosing import Choice
from transfergrid.runs.curve import Curves, Fit, Log
from transfergrid.runs.learner import Learner
from transfergrid.runs.machine import Machine, at_rest, placed
from transfergrid.runs.memory import bytes_of, free_cycles
from transfergrid.runs.seen import Seen
from transfergrid.runs.selection.selecting import Selecting
from transfergrid.runs.standing import Standing, standing
from transfergrid.runs.states import State
from transfergrid.runs.turning import turned
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.checked import checked
from transfergrid.strategies.phases import Phase, lengths

Measure = Callable[[str], AbstractContextManager[None]]


class Checkpoints(Protocol):
    """Saves a run's state for another process, and loads the one that was saved."""

    def take(self) -> State | None:
        """Return the state to resume from, if any; only the first call returns it."""

    def is_due(self, step: int) -> bool:
        """Return whether to save a checkpoint after this step, counted over all phases."""

    def leave(self, state: State) -> None:
        """Save a state, whose tensors the run keeps changing; end the process if asked to."""


class Driver:
    """One run of a strategy.

    Which step is kept: with a validation part, the one with the best value of the metric (the
    earliest of equals); without one, the step that a rule finds best, if a rule is asked for;
    otherwise the last. A phase without steps, or one that predicts in another way than the phase
    before, starts from the best step so far.

    Args:
        strategy: attached; it is trained in place.
        data: what it learns from.
        machine: where to train.
        metric: decides between steps.
        log: receives every point of the curves.
        measure: measures the time that training a teacher takes.
        checkpoint: saves and resumes this run; None: no checkpoints.
        selecting: chooses a step where nothing validates; None: the last one is kept.
    """

    def __init__(
        self,
        strategy: Strategy,
        data: CellData,
        machine: Machine,
        metric: str,
        log: Log,
        measure: Measure | None = None,
        checkpoint: Checkpoints | None = None,
        selecting: Selecting | None = None,
    ) -> None:
        self.strategy, self.data, self.machine = strategy, data, machine
        self.phases = checked(strategy.all_phases(), type(strategy).__name__)
        self.lengths = lengths(self.phases, strategy.training_plan.steps)
        own = [n for p, n in zip(self.phases, self.lengths, strict=True) if p.counts == "steps"]
        self.curves = Curves(strategy.task, metric, sum(own), log)
        taught = data.taught.validation if data.taught is not None else None
        self.choice = Choice(strategy, data.validation, taught, machine, self.curves, selecting)
        self.measure: Measure = measure or (lambda name: nullcontext())
        self.checkpoint = checkpoint
        self.number = 0
        """Index of the running phase."""
        self.first = 0
        """Steps of this phase that are done."""
        self.losses: list[Tensor] = []
        """Losses of these steps; filled only where the phase may end early (`until`)."""
        self.taken: Counter[str] = Counter()
        self.optimiser: State | None = None
        """Optimiser state: of the previous phase or, within a phase, of the last checkpoint."""
        self.paths: list[Path] = []
        """The paths of the dials that were turned."""

    def run_first(self, phases: int) -> State:
        """Run only the first phases, or what is left of them, and return the state after them.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        self._take()
        with stopping.heeding() if self.checkpoint is not None else nullcontext():
            self._run_phases(phases)
        return self.state()

    def run(self) -> Fit:
        """Run the remaining steps and leave the strategy at the chosen step, in eval mode.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        self._take()
        with stopping.heeding() if self.checkpoint is not None else nullcontext():
            self._run_phases(len(self.phases))
            return self._ended()

    def _take(self) -> None:
        """Resume from the checkpoint of another process, if there is one."""
        state = self.checkpoint.take() if self.checkpoint is not None else None
        if state is not None:
            self.restore(state)
            tell(f"{GOES_ON} {self.step} of {sum(self.lengths)}")
        if (first := self.machine.peers.told(lambda: float(self.step))) != self.step:
            raise RuntimeError(f"it goes on at step {first} where this process is at {self.step}")

    def _run_phases(self, until: int) -> None:
        self.machine.peers.take_all(self.strategy)
        while self.number < until:
            phase, length = self.phases[self.number], self.lengths[self.number]
            with self.measure("teacher") if phase.counts == "teacher" else nullcontext():
                self._run(phase, length)
            self.go_on()
            self.leave_if_due()

    def _ended(self) -> Fit:
        self.choice.take()
        self.strategy.learn_only([group for phase in self.phases for group in phase.learning()])
        self.strategy.eval()
        return self._fit()

    def go_on(self) -> None:
        """Go on to the next phase."""
        self.number, self.first, self.losses = self.number + 1, 0, []

    def _fit(self) -> Fit:
        steps, chosen = self.curves.step, self.choice.best
        arrays = self.curves.arrays() if steps else {}
        fitted = Fit(steps, steps, "last_step" if steps else "closed_form", taken=self.taken)
        looks = len(self.curves.validation) + sum(len(path.validation) for path in self.paths)
        fitted.curves, fitted.validation_checks = arrays, looks
        fitted.paths = tuple(self.paths)
        if chosen is not None and steps:
            fitted.chosen_step, fitted.chosen_by = chosen.step, self.choice.chosen_by
        fitted.selection = self.choice.selected if steps else None
        return fitted

    # One phase -----------------------------------------------------------------------------------

    def _run(self, phase: Phase, length: int) -> None:
        if phase.objectives and not length:
            return  # its share of the steps is rounded to 0
        if not self.first and (not phase.objectives or self._is_judged_anew()):
            self.choice.begin_anew()
        self.strategy.learn_only(phase.learning())
        if length:
            Learner(self, phase, length).train_on(self.machine)
            free_cycles(bytes_of(self.strategy.parameters()))
            self.look_at_the_end(phase)
            return
        if phase.before is not None:
            self.prepare(phase, 0)
        if phase.dial is not None:
            still = partial(self.standing, self.phases[: self.number + 1])
            train = self.data.of_steps(phase.counts).train
            path = turned(phase.dial, phase, self.done(phase), self.choice, train, still)
            if phase.counts == "steps":  # a teacher's dial is not a choice of its student
                self.paths.append(path)
        elif phase.before is not None and self.curves.step:
            self.choice.look(phase, self.done(phase))

    def look_at_the_end(self, phase: Phase) -> None:
        """Look at the strategy after a phase's last step, unless that has just been done."""
        if self.choice.looked != (phase.counts, self.done(phase)):
            self.choice.look(phase, self.done(phase))

    def _is_judged_anew(self) -> bool:
        before = self.phases[self.number - 1] if self.number else None
        return before is not None and before.predicts != self.phases[self.number].predicts

    def prepare(self, phase: Phase, step: int) -> None:
        """Run a phase's `before` at this step, with random numbers seeded by the seed block."""
        assert phase.before is not None
        strategy = self.strategy
        mode, cut, strategy.cut = strategy.training, strategy.cut, 0
        seed_torch(stream_seed(strategy.block_seed, "before", self.number, step))
        strategy.eval()
        at_rest(self.machine, strategy.training_plan).precision_plugin.convert_module(strategy)
        with torch.no_grad(), placed(strategy, self.machine.device):
            still = partial(self.standing, self.phases[: self.number + bool(step)])
            phase.before(Seen(strategy, self.data, self.machine, phase.reads, still))
            self.machine.peers.take_all(strategy)
        strategy.cut = cut
        strategy.train(mode)

    def standing(self, phases: Sequence[Phase]) -> Standing | None:
        """Return the leading blocks that stay frozen in these phases; None if none is cached."""
        data = self.data
        examples = (data.train, data.validation, data.unlabelled, *data.source)
        return standing(self.strategy, phases, self.machine, examples)

    def begin_of(self, phase: Phase) -> int:
        """Return the number of the running phase's first batch, counted as `done` counts."""
        return self.done(phase) - self.first

    def done(self, phase: Phase) -> int:
        """Return how many batches were taken in phases that count as this one does.

        A teacher's phases are counted apart from the strategy's own.
        """
        return self.taken["teacher"] if phase.counts == "teacher" else self.curves.step

    def note(self, phase: Phase, batch: Batch, loss: Tensor) -> None:
        """Count a step."""
        self.first += 1
        if phase.until is not None:
            self.losses.append(loss.detach())
        if phase.counts == "teacher":
            self.taken["teacher"] += 1
            return
        self.taken["optimiser"] += phase.optimiser_steps
        self.taken["target"] += batch.target is not None
        self.taken["unlabelled"] += batch.rows is not None
        self.taken["source"] += len(batch.source) or bool(batch.episode)
        self.curves.stepped(loss.detach(), batch.size)

    @property
    def step(self) -> int:
        """Batches so far, over all phases."""
        return self.curves.step + self.taken["teacher"]

    # Resuming ------------------------------------------------------------------------------------

    def leave_if_due(self, optimiser: Callable[[], State] | None = None) -> None:
        """Save a checkpoint if one is due; in the middle of a phase with its `optimiser` state."""
        if self.checkpoint is not None and self.checkpoint.is_due(self.step):
            if optimiser is not None:
                self.optimiser = optimiser()
            self.checkpoint.leave(self.state())

    def state(self) -> State:
        """Return all that is needed to resume: plain values and the run's own tensors, not copied.

        Every random number is a function of seed and step, so it holds no generator state.
        """
        return {
            "phase": self.number,
            "step": self.first,
            "losses": self.losses,
            "strategy": dict(self.strategy.state_dict()),
            "optimiser": self.optimiser,
            "taken": dict(self.taken),
            "curves": self.curves.state(),
            "choice": self.choice.state(),
            "paths": [asdict(path) for path in self.paths],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state of an equal strategy on equal data; the state is copied."""
        state = deepcopy(dict(state))
        self.number, self.first = state["phase"], state["step"]
        self.losses = move_data_to_device(state["losses"], self.machine.device)
        self.strategy.load_state_dict(state["strategy"])
        self.optimiser, self.taken = state["optimiser"], Counter(state["taken"])
        self.curves.restore(move_data_to_device(state["curves"], self.machine.device))
        self.choice.restore(state["choice"])
        self.paths = [Path(**path) for path in state["paths"]]
