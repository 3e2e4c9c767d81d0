"""Trains one phase of a run with Lightning: batches, optimiser, steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.batches import Batch, parts_of
from transfergrid.data.streams import Augmenting, CellData, StepBatches
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.errors import BadInputError
from transfergrid.records.process import stopping
from transfergrid.records.seeds import stream_seed
from transfergrid.records.training import SCHEDULES, Training
from transfergrid.runs.choosing import Choice
from transfergrid.runs.machine import Machine
from transfergrid.runs.peers import ALONE
from transfergrid.runs.standing import Standing, are_fixed, held
from transfergrid.runs.states import State
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.checked import checked_loss
from transfergrid.strategies.phases import Group, Objective, Phase

Pieces = Sequence[tuple[Batch, float]]
"""Parts of a batch, each with its share of the batch."""


class Run(Protocol):
    """The run that a phase belongs to, as the `Learner` sees it; see `Driver`."""

    strategy: Strategy
    data: CellData
    choice: Choice
    first: int
    """Steps of the phase that are done."""
    losses: list[Tensor]
    """Losses of these steps; filled only where the phase may end early (`until`)."""
    optimiser: State | None
    """Optimiser state: of the previous phase or, within a phase, of the last checkpoint."""

    def begin_of(self, phase: Phase) -> int:
        """Return the number of the running phase's first batch, counted as `done` counts."""

    def done(self, phase: Phase) -> int:
        """Return how many batches were taken in phases that count as this one does."""

    def prepare(self, phase: Phase, step: int) -> None:
        """Run a phase's `before` at this step."""

    def standing(self, phases: Sequence[Phase]) -> Standing | None:
        """Return the leading blocks that stay frozen in these phases; None if none is cached."""

    def note(self, phase: Phase, batch: Batch, loss: Tensor) -> None:
        """Count a step."""

    def leave_if_due(self, optimiser: Callable[[], State]) -> None:
        """Save a checkpoint if one is due, with this optimiser state."""


class Learner(pl.LightningModule):
    """One phase as Lightning trains it."""

    def __init__(self, driver: Run, phase: Phase, length: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strategy = driver.strategy
        self.driver, self.phase, self.length = driver, phase, length
        self.plan = driver.strategy.training_plan
        self.begin = driver.begin_of(phase)
        self.every = max(1, round(phase.every * length)) if phase.every else length
        self.standing: Standing | None = None
        self.is_prepared = False
        self.peers = ALONE

    def train_on(self, machine: Machine) -> None:
        """Train until the phase ends."""
        self.peers = machine.peers
        batches = self.batches()
        if self.standing is not None:
            machine = replace(machine, loader_workers=0)  # all is in memory
        trainer = machine.trainer(self.plan, max_epochs=1, limit_train_batches=len(batches))
        trainer.fit(self, machine.loader(batches))
        self.strategy.cut = 0
        self.strategy.zero_grad()  # else the gradients stay in memory as long as the network

    def batches(self) -> StepBatches:
        """Return the phase's remaining batches, with their examples prepared."""
        numbers = range(self.begin + self.driver.first, self.begin + self.length)
        data = self.driver.data.of_steps(self.phase.counts)
        batches = self._behind_blocks(numbers) or self._batches(data, numbers)
        if self.standing is None:
            batches.warm()
        return batches

    def _batches(self, data: CellData, numbers: range) -> StepBatches:
        plan, phase = self.plan, self.phase
        augmenting = Augmenting(plan.augmentation, plan.views)
        seed = self.strategy.block_seed
        streams = (phase.reads, phase.episode, plan.group_by)
        return StepBatches(data, seed, numbers, plan.batch_size, augmenting, *streams)

    def _behind_blocks(self, numbers: range) -> StepBatches | None:
        """Return batches of the cached outputs of frozen blocks; None if nothing is cached.

        The phase's `before` of the first step runs first: it may change the blocks' statistics.
        """
        plan, driver, phase = self.plan, self.driver, self.phase
        fixed = are_fixed(phase, Augmenting(plan.augmentation, plan.views))
        found = driver.standing([phase]) if fixed else None
        if found is None:
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
        return optimiser_of(self.plan, self.phase.learning())

    @override
    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        if device.type == "cpu":  # batches are there already: Lightning would visit each tensor
            return batch
        moved: Batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved

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
        stopping.obey_again()  # Lightning's own signal handler would end the phase at any point

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
        self.set_rates(self._optimiser)
        # Dropout is seeded at each step by the seed block: else an arm that draws more numbers in
        # one step would get other dropout than the other arms in all later steps.
        own = [self.peers.rank] if self.peers.rank else []
        seed_torch(stream_seed(strategy.block_seed, "dropout", self.begin + step, *own))

    def _expect_still(self) -> None:
        """Raise if the blocks whose outputs are cached have changed.

        Raises:
            BadInputError: something other than the optimiser has changed them.
        """
        if self.standing is not None and self.standing.has_moved():
            raise BadInputError(
                f"phase {self.phase.name!r} of {type(self.strategy).__name__} changes blocks that "
                "none of its objectives trains: such a phase says cached=False"
            )

    def set_rates(self, optimiser: torch.optim.Optimizer) -> None:
        """Set the learning rates of the phase's groups for the next step."""
        instead, factor = self.phase.lr_factor, self.strategy.lr_factor
        factor = factor if instead is None else instead
        base = self.plan.lr * factor * self._rate(self.driver.first)
        for own, told in zip(optimiser.param_groups, self.phase.learning(), strict=True):
            own["lr"] = base * told.factor_now

    def _rate(self, step: int) -> float:
        own = self.phase.schedule
        if callable(own):
            return own(step, self.length)
        return SCHEDULES[own or self.strategy.schedule or self.plan.schedule](step / self.length)

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        progress, phase = self.driver.first / self.length, self.phase
        pieces = self.peers.own(parts_of(batch, self.plan.accumulate * self.peers.world))
        if phase.combine is not None:
            return self._combined(pieces, progress)
        losses = [
            self._learn(objective, pieces, progress)
            for objective in phase.objectives
            for _ in range(objective.repeat)
        ]
        return losses[0]

    def _learn(self, objective: Objective, pieces: Pieces, progress: float) -> Tensor:
        """Take one step of one objective; return its loss."""
        self._optimiser_step_begins()
        loss = self._backward(objective, pieces, progress)
        self.optimizers().step()  # type: ignore[union-attr]
        return loss

    def _optimiser_step_begins(self) -> None:
        for group in self._optimiser.param_groups:  # no gradient, no step: what does not learn
            for parameter in group["params"]:
                parameter.grad = None

    def _backward(self, objective: Objective, pieces: Pieces, progress: float) -> Tensor:
        """Add an objective's gradients to the parameters that learn from it; return its loss."""
        own = _parameters(objective.learns)
        total: Tensor | None = None
        for piece, share in pieces:
            loss = checked_loss(objective.loss(piece, progress), self.phase)
            loss = loss if share == 1.0 else share * loss
            self.manual_backward(loss, inputs=own)
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return self.peers.sum_gradients(own, total)

    def _combined(self, pieces: Pieces, progress: float) -> Tensor:
        """Take one step of the combined gradients of all objectives; return the sum of losses."""
        assert self.phase.combine is not None
        shared, scale = _parameters(self.phase.learning()), self._scale()
        found, total = [], torch.zeros((), device=self.device)
        for objective in self.phase.objectives:
            self._optimiser_step_begins()
            total = total + self._backward(objective, pieces, progress)
            own = [torch.zeros_like(p) if p.grad is None else p.grad for p in shared]
            found.append(own if scale == 1.0 else [gradient / scale for gradient in own])
        for parameter, gradient in zip(shared, self.phase.combine(found), strict=True):
            parameter.grad = gradient if scale == 1.0 else gradient * scale
        self.optimizers().step()  # type: ignore[union-attr]
        return total

    def _scale(self) -> float:
        """Return the factor by which a gradient scaler multiplies losses; 1 without a scaler."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return 1.0 if scaler is None else float(scaler.get_scale())

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.plan.gradient_clip is not None:  # gradients are unscaled by now
            own = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(own, self.plan.gradient_clip)

    @override
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        driver, phase = self.driver, self.phase
        self.peers.take_buffers(self.strategy)
        driver.note(phase, batch, outputs["loss"] if isinstance(outputs, dict) else outputs)
        if phase.after is not None:
            with torch.no_grad():
                phase.after(driver.first, self.length)
        if driver.choice.is_due(driver.done(phase)):
            driver.choice.look(phase, driver.done(phase), self.trainer, self.standing)
        ends = driver.first == self.length or (
            phase.until is not None and phase.until(driver.losses)
        )
        if not ends:
            driver.leave_if_due(self.kept_optimiser)
            return
        driver.optimiser = self.kept_optimiser()
        self.trainer.should_stop = True

    def kept_optimiser(self) -> State:
        """Return the optimiser's state, whole and by parameter name, and the gradient scaler's."""
        self._expect_still()
        optimiser, named = self._optimiser, self.strategy.named_parameters()
        own = {name: optimiser.state[p] for name, p in named if p in optimiser.state}
        scaler = self.trainer.precision_plugin.state_dict()
        return {"whole": optimiser.state_dict(), "named": own, "scaler": scaler}


def optimiser_of(plan: Training, groups: Sequence[Group]) -> torch.optim.Optimizer:
    """Return the optimiser of a training plan for these groups; `set_rates` sets their rates."""
    told = [
        {
            "params": list(group.parameters),
            "name": group.name,
            "weight_decay": plan.weight_decay if group.decay else 0.0,
        }
        for group in groups
    ]
    fused = plan.precision != "16-mixed"  # a fused optimiser unscales by itself: too late to clip
    if plan.optimizer == "sgd":
        nesterov = plan.momentum > 0
        return torch.optim.SGD(told, plan.lr, plan.momentum, 0, nesterov=nesterov, fused=fused)
    return torch.optim.AdamW(told, plan.lr, fused=fused)


def _parameters(groups: Sequence[Group]) -> list[torch.nn.Parameter]:
    return [p for group in groups for p in group.parameters]
