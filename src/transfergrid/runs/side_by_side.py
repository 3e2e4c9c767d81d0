"""Trains one phase of several runs at once: one Lightning step is a step of each run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.utils.data import Dataset
from typing_extensions import override

from transfergrid.data.batches import Batch, Labelled
from transfergrid.records.process import stopping
from transfergrid.runs.learner import Learner, optimiser_of
from transfergrid.runs.machine import Machine
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.checked import checked_loss
from transfergrid.strategies.phases import Phase

Tensors = Mapping[str, Tensor]


class SideBySide(pl.LightningModule):
    """Runs of strategies that differ in their seed alone, in a phase of one objective.

    Each run has its own batches, weights and validation looks. The tensors of each strategy are
    slices of stacked tensors, so it can be scored between any two steps. A run whose loss is not
    finite drops out; the others go on.

    Args:
        learners: one per run, in the same phase, before its first step.

    Raises:
        ValueError: the runs do not have the same number of frozen leading blocks.

    Attributes:
        lost: places of the runs that dropped out.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._learners, self.phase = list(learners), learners[0].phase
        self._batches = [learner.batches() for learner in learners]
        cuts = {learner.standing.blocks if learner.standing else 0 for learner in learners}
        if len(cuts) > 1:
            raise ValueError("what stands still is not the same for all of them")
        (self.cut,) = cuts
        self._tables = [_tensors_of(learner.strategy) for learner in learners]
        strategy = learners[0].strategy
        own = {id(p) for group in self.phase.learning() for p in group.parameters}
        self._names = [name for name, value in self._tables[0].items() if id(value) in own]
        ahead = names_ahead(strategy, self.cut)
        self._others = [n for n in self._tables[0] if n not in {*self._names, *ahead}]
        self.moving = nn.ParameterList([nn.Parameter(self._stacked(n)) for n in self._names])
        self._still: dict[str, Tensor] = {}
        self._code = (_Loss(strategy, self.phase),)  # in a tuple: not registered as a submodule
        self.lost: set[int] = set()

    def train_on(self, machine: Machine) -> None:
        """Train until the phase ends; each strategy is left with tensors of its own."""
        if self.cut:
            machine = replace(machine, loader_workers=0)  # all is in memory
        steps, plan = len(self._batches[0]), self._learners[0].plan
        trainer = machine.trainer(plan, max_epochs=1, limit_train_batches=steps)
        trainer.fit(self, machine.loader(_Together(self._batches)))
        for table in self._tables:
            for value in table.values():
                value.data = value.detach().clone()
        self._learners[0].strategy.cut = 0

    def _stacked(self, name: str) -> Tensor:
        return torch.stack([table[name].detach() for table in self._tables])

    @property
    def _leader(self) -> Learner:
        """The first run that has not dropped out; all such runs are at the same step."""
        return next(own for place, own in enumerate(self._learners) if place not in self.lost)

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        names = {id(self._tables[0][name]): place for place, name in enumerate(self._names)}
        groups = [
            group._replace(parameters=tuple(self.moving[names[id(p)]] for p in group.parameters))
            for group in self.phase.learning()
        ]
        return optimiser_of(self._learners[0].plan, groups)

    @override
    def on_fit_start(self) -> None:
        for learner in self._learners:
            learner.strategy.to(self.device)
            learner.strategy.train()
        self._tables = [_tensors_of(learner.strategy) for learner in self._learners]
        self._still = {name: self._stacked(name) for name in self._others}
        stacked = dict(zip(self._names, self.moving, strict=True)) | self._still
        for place, table in enumerate(self._tables):
            for name, whole in stacked.items():
                table[name].data = whole.detach()[place]

    @override
    def on_train_start(self) -> None:
        stopping.obey_again()  # Lightning's own signal handler would end the phase at any point

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self._learners[0].strategy.cut = self.cut
        self._leader.set_rates(self.trainer.optimizers[0])

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        leader, code = self._leader, self._code[0]
        progress = leader.driver.first / leader.length

        def loss(moving: Tensors, still: Tensors, parts: list[Tensor]) -> Tensor:
            own = iter(parts)
            alone = mapped(batch, lambda _: next(own))
            tensors = {f"strategy.{name}": value for name, value in {**moving, **still}.items()}
            return cast(Tensor, functional_call(code, tensors, (alone, progress)))

        moving = {n: p.detach() for n, p in zip(self._names, self.moving, strict=True)}
        slopes, losses = vmap(grad_and_value(loss))(moving, self._still, tensors_in(batch))
        for name, parameter in zip(self._names, self.moving, strict=True):
            parameter.grad = slopes[name]
        self.optimizers().step()  # type: ignore[union-attr]
        return cast(Tensor, losses.detach())

    @override
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        losses = outputs["loss"] if isinstance(outputs, dict) else outputs
        alone = mapped(batch, lambda part: part[0])
        for place, learner in enumerate(self._learners):
            if place not in self.lost:
                self._note(place, learner, alone, losses[place])
        self.trainer.should_stop = len(self.lost) == len(self._learners)

    def _note(self, place: int, learner: Learner, batch: Batch, loss: Tensor) -> None:
        driver, phase = learner.driver, self.phase
        try:
            driver.note(phase, batch, loss)
        except FloatingPointError:
            self.lost.add(place)
            return
        if driver.choice.is_due(driver.done(phase)):
            driver.choice.look(phase, driver.done(phase), self.trainer, learner.standing)


class _Loss(nn.Module):
    """The loss of a phase as a module with the strategy's tensors, for `functional_call`."""

    def __init__(self, strategy: Strategy, phase: Phase) -> None:
        super().__init__()
        self.strategy, self._phase = strategy, phase

    @override
    def forward(self, batch: Batch, progress: float) -> Tensor:
        (objective,) = self._phase.objectives
        return checked_loss(objective.loss(batch, progress), self._phase)


class _Together(Dataset[Batch]):
    """Batches of several runs as one batch of stacked tensors."""

    def __init__(self, batches: Sequence[Dataset[Batch]]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches[0])  # type: ignore[arg-type]

    def __getitem__(self, place: int) -> Batch:
        own = [batches[place] for batches in self._batches]
        columns = zip(*(tensors_in(batch) for batch in own), strict=True)
        stacked = iter([torch.stack(parts) for parts in columns])
        return cast(Batch, mapped(own[0], lambda _: next(stacked)))


def mapped(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a batch, or a part of one, with `change` applied to its tensors in a fixed order."""
    if isinstance(part, Tensor):
        return change(part)
    if isinstance(part, tuple):
        return tuple(mapped(each, change) for each in part)
    if isinstance(part, dict):
        return {key: mapped(each, change) for key, each in part.items()}
    if isinstance(part, (Batch, Labelled)):
        own = {f.name: mapped(getattr(part, f.name), change) for f in fields(part)}
        return replace(part, **own)
    return part


def _tensors_of(strategy: Strategy) -> dict[str, Tensor]:
    return {**dict(strategy.named_parameters()), **dict(strategy.named_buffers())}


def tensors_in(batch: Batch) -> list[Tensor]:
    """Return the tensors of a batch, in the order of `mapped`."""
    found: list[Tensor] = []

    def note(part: Tensor) -> Tensor:
        found.append(part)
        return part

    mapped(batch, note)
    return found


def names_ahead(strategy: Strategy, cut: int) -> set[str]:
    """Return the names of all tensors in the first `cut` blocks, which do not run."""
    blocks = strategy.backbone.blocks("fine")[:cut] if cut else []
    return {f"backbone.{n}" for block in blocks for n in (*block.parameters, *block.buffers)}
