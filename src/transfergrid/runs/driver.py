"""Runs a strategy's phases with Lightning: the only place in which anything is trained.

At any step a run is a plain `state`, from which it goes on in this process or another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor
from typing_extensions import override

from transfergrid.data.batches import Batch, parts_of
from transfergrid.data.streams import Augmenting, CellData, StepBatches
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records import stopping
from transfergrid.records.errors import BadInputError
from transfergrid.records.seeds import stream_seed
from transfergrid.records.telling import GOES_ON, tell
from transfergrid.records.training import SCHEDULES
from transfergrid.runs.choosing import Choice
from transfergrid.runs.curve import Curves, Fit, Log
from transfergrid.runs.machine import Machine, placed
from transfergrid.runs.seen import Seen
from transfergrid.runs.standing import Standing, are_fixed, held, standing
from transfergrid.runs.states import State
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.checked import checked, checked_loss
from transfergrid.strategies.phases import Group, Objective, Phase, lengths

Measure = Callable[[str], AbstractContextManager[None]]
Pieces = Sequence[tuple[Batch, float]]
"""Parts of a batch, and the share that each has of it."""


class Checkpoints(Protocol):
    """Where a run's state is left for another process, and where it finds one."""

    def take(self) -> State | None:
        """Return the state to begin with, once."""

    def is_due(self, step: int) -> bool:
        """Return whether to leave one after this step, counted over all phases."""

    def leave(self, state: State) -> None:
        """Keep a state, whose tensors go on changing; or end the process."""


class Driver:
    """One run of a strategy.

    With a validation part the step with the best value of the metric is chosen, the earliest of
    equals; otherwise the last one. A phase without steps, or one that is judged by something
    else, starts from the best step so far.

    Args:
        strategy: attached; it is trained in place.
        data: what it learns from.
        machine: where.
        metric: decides between steps.
        log: is told every point of the curves.
        measure: of the time that a teacher takes.
        checkpoint: what another process left of this run, and is to find; None: it is not left.
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
    ) -> None:
        self.strategy, self.data, self.machine = strategy, data, machine
        self.phases = checked(strategy.phases(), type(strategy).__name__)
        self.lengths = lengths(self.phases, strategy.training_plan.steps)
        own = [n for p, n in zip(self.phases, self.lengths, strict=True) if p.counts == "steps"]
        self.curves = Curves(strategy.task, metric, sum(own), log)
        self.choice = Choice(strategy, data.validation, machine, self.curves)
        self.measure: Measure = measure or (lambda name: nullcontext())
        self.checkpoint = checkpoint
        self.number = 0
        """Of the phase that is running."""
        self.first = 0
        """Steps of it that are done."""
        self.losses: list[Tensor] = []
        """Of those steps, where the phase may end early."""
        self.taken: Counter[str] = Counter()
        self.optimiser: State | None = None
        """That of the phase before, or of this one where the run was left."""

    def run(self) -> Fit:
        """Run what is left and leave the strategy at the chosen step, in eval mode.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        if self.checkpoint is None:
            return self._run_all()
        state = self.checkpoint.take()
        if state is not None:
            self.restore(state)
            tell(f"{GOES_ON} {self.step} of {sum(self.lengths)}")
        with stopping.heeding():
            return self._run_all()

    def _run_all(self) -> Fit:
        while self.number < len(self.phases):
            phase, length = self.phases[self.number], self.lengths[self.number]
            with self.measure("teacher") if phase.counts == "teacher" else nullcontext():
                self._run(phase, length)
            self.number, self.first, self.losses = self.number + 1, 0, []
            self.leave_if_due()
        self.choice.take()
        self.strategy.learn_only([group for phase in self.phases for group in phase.learning()])
        self.strategy.eval()
        return self._fit()

    def _fit(self) -> Fit:
        steps, chosen = self.curves.step, self.choice.best
        arrays = self.curves.arrays() if steps else {}
        fitted = Fit(steps, steps, "last_step" if steps else "closed_form", taken=self.taken)
        fitted.curves, fitted.validation_checks = arrays, len(self.curves.validation)
        if chosen is not None and steps:
            fitted.chosen_step, fitted.chosen_by = chosen.step, "validation"
        return fitted

    # One phase -----------------------------------------------------------------------------------

    def _run(self, phase: Phase, length: int) -> None:
        if phase.objectives and not length:
            return  # its share is less than half a step
        if not self.first and (not phase.objectives or self._is_judged_anew()):
            self.choice.begin_anew()
        self.strategy.learn_only(phase.learning())
        if length:
            Learner(self, phase, length).train_on(self.machine)
            if self.choice.looked != (phase.counts, self.done(phase)):
                self.choice.look(phase, self.done(phase))
        elif phase.before is not None:
            self.prepare(phase, 0)
            if self.curves.step:
                self.choice.look(phase, self.done(phase))

    def _is_judged_anew(self) -> bool:
        before = self.phases[self.number - 1] if self.number else None
        return before is not None and before.predicts != self.phases[self.number].predicts

    def prepare(self, phase: Phase, step: int) -> None:
        """Let a phase compute what it needs at this step; its random numbers are the block's."""
        assert phase.before is not None
        strategy = self.strategy
        mode, cut, strategy.cut = strategy.training, strategy.cut, 0
        seed_torch(stream_seed(strategy.block_seed, "before", self.number, step))
        strategy.eval()
        with torch.no_grad(), placed(strategy, self.machine.device):
            still = partial(self.standing, self.phases[: self.number + bool(step)])
            phase.before(Seen(strategy, self.data, self.machine, phase.reads, still))
        strategy.cut = cut
        strategy.train(mode)

    def standing(self, phases: Sequence[Phase]) -> Standing | None:
        """Return the blocks that none of these phases moves, where what they make is kept."""
        data = self.data
        examples = (data.train, data.validation, data.unlabelled, *data.source)
        return standing(self.strategy, phases, self.machine, examples)

    def begin_of(self, phase: Phase) -> int:
        """Return the number of a phase's first batch, among those that count as it does."""
        return self.done(phase) - self.first

    def done(self, phase: Phase) -> int:
        """Return how many batches there were that count as a phase's do."""
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
        self.taken["source"] += bool(batch.source or batch.episode)
        self.curves.stepped(loss.detach(), batch.size)

    @property
    def step(self) -> int:
        """Batches until now, over all phases."""
        return self.curves.step + self.taken["teacher"]

    # Going on ------------------------------------------------------------------------------------

    def leave_if_due(self, learner: Learner | None = None) -> None:
        """Leave the state, if it is time to; a phase that is under way has a learner."""
        if self.checkpoint is not None and self.checkpoint.is_due(self.step):
            if learner is not None:
                self.optimiser = learner.kept_optimiser()
            self.checkpoint.leave(self.state())

    def state(self) -> State:
        """Return all that is needed to go on, as plain values and the run's own tensors.

        Every random number is a function of seed and step, so no generator is in it.
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
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of an equal strategy on equal data, which stays as it is."""
        state = deepcopy(dict(state))
        self.number, self.first = state["phase"], state["step"]
        self.losses = move_data_to_device(state["losses"], self.machine.device)
        self.strategy.load_state_dict(state["strategy"])
        self.optimiser, self.taken = state["optimiser"], Counter(state["taken"])
        self.curves.restore(move_data_to_device(state["curves"], self.machine.device))
        self.choice.restore(state["choice"])


class Learner(pl.LightningModule):
    """One phase as Lightning trains it."""

    def __init__(self, driver: Driver, phase: Phase, length: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strategy = driver.strategy
        self.driver, self.phase, self.length = driver, phase, length
        self.plan = driver.strategy.training_plan
        self.begin = driver.begin_of(phase)
        self.every = max(1, round(phase.every * length)) if phase.every else length
        self.standing: Standing | None = None
        self.is_prepared = False

    def train_on(self, machine: Machine) -> None:
        """Train until the phase ends."""
        numbers = range(self.begin + self.driver.first, self.begin + self.length)
        batches = self._behind_blocks(numbers) or self._batches(self.driver.data, numbers)
        if self.standing is not None:
            machine = replace(machine, loader_workers=0)  # all is in memory
        else:
            batches.warm()
        trainer = machine.trainer(self.plan, max_epochs=1, limit_train_batches=len(numbers))
        trainer.fit(self, machine.loader(batches))
        self.strategy.cut = 0

    def _batches(self, data: CellData, numbers: range) -> StepBatches:
        plan, phase = self.plan, self.phase
        augmenting = Augmenting(plan.augmentation, plan.views)
        seed = self.strategy.block_seed
        streams = (phase.reads, phase.episode, plan.group_by)
        return StepBatches(data, seed, numbers, plan.batch_size, augmenting, *streams)

    def _behind_blocks(self, numbers: range) -> StepBatches | None:
        """Return batches of what blocks that stand still make; None where none is kept.

        What the phase computes before its first step, which may be the blocks' statistics, is
        computed before that.
        """
        plan, driver, phase = self.plan, self.driver, self.phase
        fixed = are_fixed(phase, Augmenting(plan.augmentation, plan.views))
        if not fixed or driver.standing([phase]) is None:
            return None
        if phase.before is not None and not driver.first:
            driver.prepare(phase, 0)
            self.is_prepared = True
        found = driver.standing([phase])
        assert found is not None
        data = held(found, driver.data, lambda data: self._batches(data, numbers).uses())
        if data is None:
            return None
        self.standing = found
        return self._batches(data, numbers)

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        plan, groups = self.plan, self.phase.learning()
        told = [
            {
                "params": list(group.parameters),
                "factor": group.factor,
                "name": group.name,
                "weight_decay": plan.weight_decay if group.decay else 0.0,
            }
            for group in groups
        ]
        fused = plan.precision != "16-mixed"  # what a scaler has fused cannot be clipped
        if plan.optimizer == "sgd":
            nesterov = plan.momentum > 0
            return torch.optim.SGD(told, plan.lr, plan.momentum, 0, nesterov=nesterov, fused=fused)
        return torch.optim.AdamW(told, plan.lr, fused=fused)

    @override
    def on_fit_start(self) -> None:
        kept, optimiser = self.driver.optimiser, self._optimiser
        if kept is not None and self.driver.first:
            optimiser.load_state_dict(kept["whole"])
            self.trainer.precision_plugin.load_state_dict(kept["scaler"])
        elif kept is not None and self.phase.carries_on:
            named: dict[Tensor, str] = {p: name for name, p in self.strategy.named_parameters()}
            own = [named[p] for group in optimiser.param_groups for p in group["params"]]
            state = {i: kept["named"][n] for i, n in enumerate(own) if n in kept["named"]}
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        self.strategy.train()

    @override
    def on_train_start(self) -> None:
        stopping.obey_again()  # Lightning, asked to go, ends a phase wherever it is

    @property
    def _optimiser(self) -> torch.optim.Optimizer:
        return self.trainer.optimizers[0]

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        step, strategy = self.driver.first, self.strategy
        if self.phase.before is not None and step % self.every == 0 and not self.is_prepared:
            self.driver.prepare(self.phase, step)
            self._expect_still()
        self.is_prepared = False
        strategy.cut = self.standing.blocks if self.standing is not None else 0
        own = self.phase.lr_factor
        base = self.plan.lr * (strategy.lr_factor if own is None else own) * self._rate(step)
        for group in self._optimiser.param_groups:
            group["lr"] = base * group["factor"]
        # Dropout is of the seed block too: an arm that draws more of it in one step would else
        # differ from the others in all later ones.
        seed_torch(stream_seed(strategy.block_seed, "dropout", self.begin + step))

    def _expect_still(self) -> None:
        """Raise unless blocks that were run ahead of the steps are as they were.

        Raises:
            BadInputError: something beside the optimiser has changed them.
        """
        if self.standing is not None and self.standing.has_moved():
            raise BadInputError(
                f"phase {self.phase.name!r} of {type(self.strategy).__name__} changes blocks that "
                "none of its objectives trains: such a phase says cached=False"
            )

    def _rate(self, step: int) -> float:
        own = self.phase.schedule
        if callable(own):
            return own(step, self.length)
        return SCHEDULES[own or self.strategy.schedule or self.plan.schedule](step / self.length)

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        progress, phase = self.driver.first / self.length, self.phase
        pieces = parts_of(batch, self.plan.accumulate)
        if phase.combine is not None:
            return self._combined(pieces, progress)
        losses = [
            self._learn(objective, pieces, progress)
            for objective in phase.objectives
            for _ in range(objective.repeat)
        ]
        return losses[0]

    def _learn(
        self, objective: Objective, pieces: Sequence[tuple[Batch, float]], progress: float
    ) -> Tensor:
        """Take one step of one objective; return its loss."""
        self._optimiser_step_begins()
        loss = self._backward(objective, pieces, progress)
        self.optimizers().step()  # type: ignore[union-attr]
        return loss

    def _optimiser_step_begins(self) -> None:
        for group in self._optimiser.param_groups:  # who does not learn has no gradient and no step
            for parameter in group["params"]:
                parameter.grad = None

    def _backward(
        self, objective: Objective, pieces: Sequence[tuple[Batch, float]], progress: float
    ) -> Tensor:
        """Add the gradients of an objective to those who learn from it; return its loss."""
        own = _parameters(objective.learns)
        total: Tensor | None = None
        for piece, share in pieces:
            loss = checked_loss(objective.loss(piece, progress), self.phase)
            loss = loss if len(pieces) == 1 else share * loss
            self.manual_backward(loss, inputs=own)
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total

    def _combined(self, pieces: Pieces, progress: float) -> Tensor:
        """Take one step of the combined gradients of all objectives; return the sum of losses."""
        assert self.phase.combine is not None
        shared = _parameters(self.phase.learning())
        found, total = [], torch.zeros((), device=self.device)
        for objective in self.phase.objectives:
            self._optimiser_step_begins()
            total = total + self._backward(objective, pieces, progress)
            found.append([torch.zeros_like(p) if p.grad is None else p.grad for p in shared])
        for parameter, gradient in zip(shared, self.phase.combine(found), strict=True):
            parameter.grad = gradient
        self.optimizers().step()  # type: ignore[union-attr]
        return total

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.plan.gradient_clip is not None:  # by now a scaler has scaled the gradients back
            own = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(own, self.plan.gradient_clip)

    @override
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        driver, phase = self.driver, self.phase
        driver.note(phase, batch, outputs["loss"] if isinstance(outputs, dict) else outputs)
        if driver.choice.is_due(driver.done(phase)):
            driver.choice.look(phase, driver.done(phase), self.trainer, self.standing)
        ends = driver.first == self.length or (
            phase.until is not None and phase.until(driver.losses)
        )
        if not ends:
            driver.leave_if_due(self)
            return
        driver.optimiser = self.kept_optimiser()
        self.trainer.should_stop = True

    def kept_optimiser(self) -> State:
        """Return what the optimiser has gathered, by parameter, and a scaler of losses."""
        self._expect_still()
        optimiser, named = self._optimiser, self.strategy.named_parameters()
        own = {name: optimiser.state[p] for name, p in named if p in optimiser.state}
        scaler = self.trainer.precision_plugin.state_dict()
        return {"whole": optimiser.state_dict(), "named": own, "scaler": scaler}


def _parameters(groups: Sequence[Group]) -> list[torch.nn.Parameter]:
    return [p for group in groups for p in group.parameters]
