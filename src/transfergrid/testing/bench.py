"""Cells on tiny parts, made and run as the program makes and runs real ones."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import random
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from transfergrid.data.batches import Batch, CellData, StepBatches
from transfergrid.data.opened import OpenDomain
from transfergrid.records.cell import Cell, Labels, Names, Parts
from transfergrid.records.factory import config_of
from transfergrid.records.tracking import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs import cell
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.curve import Fit
from transfergrid.runs.machine import Machine, quiet
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.stages import Setup
from transfergrid.sources.source import Source
from transfergrid.strategies.base import Strategy
from transfergrid.testing.tiny import TinyDomain, TinyExamples, TinySource
from transfergrid.testing.tiny_text import TinyTextDomain, TinyTextSource

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 3
MANY = 10
"""Labels a class in the cells with target labels: enough for a validation part."""


@dataclass
class Run:
    """A cell that was run."""

    setup: Setup
    fitted: Fit
    state: dict[str, Tensor]
    """The strategy's, after training."""
    predictions: Tensor
    """Probabilities of the test split, (n, classes)."""


@dataclass
class Bench:
    """Makes cells of one strategy class; keeps those that several checks look at.

    Args:
        strategy_class: what is checked.
        arguments: of its constructor.
        yaml: its config file, if it has one.
        domain: makes the cells' domains.
        source: what the cells transfer from.
    """

    strategy_class: type[Strategy]
    arguments: dict[str, Any] = field(default_factory=dict)
    yaml: Path | None = None
    training: Training = field(
        default_factory=lambda: Training(steps=8, batch_size=8, validations=2, lr=0.01)
    )
    machine: Machine = field(default_factory=lambda: Machine(accelerator="cpu"))
    domain: type[TinyDomain] = TinyDomain
    source: Source = field(default_factory=TinySource)

    def __post_init__(self) -> None:
        self._runs: dict[Labels, Run] = {}
        self._disturbance = itertools.count()

    def on_texts(self) -> Bench:
        """Return a bench for the same strategy whose cells are of texts."""
        return dataclasses.replace(self, domain=TinyTextDomain, source=TinyTextSource())

    def strategy(self) -> Strategy:
        """Return a new strategy, not yet attached to anything."""
        return self.strategy_class(**copy.deepcopy(self.arguments))

    def budgets(self) -> tuple[Labels, ...]:
        """Return the label budgets under which this strategy can run."""
        need = self.strategy_class.needs.target_labels
        return {"required": (MANY,), "optional": (0, MANY), "unused": (0,)}[need]

    def set_up(
        self, labels: Labels, target: TinyDomain | None = None, strategy: Strategy | None = None
    ) -> Setup:
        """Build and join the parts of a cell; global random states are different every time."""
        self.disturb()
        maker = SourceMaker(Path("unused"), self.machine, NoTracker(), Stopwatch())
        made = strategy if strategy is not None else self.strategy()
        return cell.set_up(self._config(labels, target or self.domain()), maker, made)

    def _config(self, labels: Labels, target: TinyDomain) -> Cell:
        return Cell(
            id="conformance",
            names=Names(strategy="conformance", target="tiny"),
            parts=Parts(strategy="", target=""),
            labels=labels,
            seed=SEED,
            config={
                "source": config_of(self.source),
                "strategy": {},
                "target": config_of(target),
                "training": config_of(self.training),
            },
        )

    def prepared(self, labels: Labels) -> Setup:
        """Return a cell on the eve of its first step."""
        setup = self.set_up(labels)
        cell.teach(setup, SEED, self.machine)
        setup.strategy.prepare(setup.data)
        setup.strategy.train()
        return setup

    def learn(self, setup: Setup) -> Run:
        """Train a cell and score it."""
        quiet()
        cell.teach(setup, SEED, self.machine)
        fitted = cell.learn(setup.strategy, setup, SEED, self.machine, lambda values, step: None)
        state = {name: value.clone() for name, value in setup.strategy.state_dict().items()}
        loaded = setup.target.loaded
        with unsealed(cast(TinyExamples, loaded.pool)), unsealed(cast(TinyExamples, loaded.test)):
            predictions = cell.judge(setup, self.machine).test[0]
        return Run(setup, fitted, state, predictions)

    def run(self, labels: Labels, target: TinyDomain | None = None) -> Run:
        """Run a cell from start to finish."""
        return self.learn(self.set_up(labels, target))

    def trained(self, labels: Labels) -> Run:
        """Return the plain cell of this budget; it runs once."""
        if labels not in self._runs:
            self._runs[labels] = self.run(labels)
        return self._runs[labels]

    def batch(self, data: CellData, step: int = 0) -> Batch:
        """Return what a cell with these data learns from at this step."""
        plan = self.training
        return StepBatches(data, SEED, step + 1, plan.batch_size, plan.augmentation)[step]

    def disturb(self) -> None:
        """Leave global random states as no cell can rely on them."""
        number = next(self._disturbance)
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)


@contextmanager
def quiet_thread() -> Iterator[None]:
    """Use one thread and keep Lightning's remarks away; afterwards all is as it was."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    numpy_state, python_state = np.random.get_state(), random.getstate()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


class Broken(AssertionError):  # noqa: N818
    """What a check found, and how to mend it."""


def expect(condition: object, found: str, mend: str) -> None:
    """Raise `Broken` unless the condition holds."""
    if not condition:
        raise Broken(f"{found}. {mend}.")


@contextmanager
def sealed(examples: TinyExamples, *what: str) -> Iterator[None]:
    """Make examples raise `SealedError` where their "images" or "labels" are read."""
    before, examples.sealed = examples.sealed, frozenset(what)
    try:
        yield
    finally:
        examples.sealed = before


def unsealed(examples: TinyExamples) -> Any:
    """Let examples be read again."""
    return sealed(examples)


def opened(target: TinyDomain) -> tuple[TinyExamples, TinyExamples]:
    """Return the pool and the test split that cells of this target read."""
    loaded = OpenDomain(config_of(target)).loaded
    return cast(TinyExamples, loaded.pool), cast(TinyExamples, loaded.test)


def after_each(strategy: Strategy, method: str, then: Callable[..., None]) -> None:
    """Call `then`, with the same arguments, after each call of a method of this one strategy."""
    original = getattr(strategy, method)

    def both(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        then(*args, **kwargs)
        return result

    setattr(strategy, method, both)
