"""Cells on tiny domains and sources, set up and run as the program runs real ones."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import random
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from transfergrid.data.batches import Batch, StreamName
from transfergrid.data.opened import OpenDomain
from transfergrid.data.several_domains import SeveralDomains
from transfergrid.data.streams import Augmenting, CellData, StepBatches
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.cell import Cell, Labels, Names, Parts
from transfergrid.records.factory import config_of
from transfergrid.records.metrics import NUMBERS
from transfergrid.records.needs import Needs
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs import cell
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.curve import Fit, Log
from transfergrid.runs.driver import Checkpoints, Driver
from transfergrid.runs.machine import Machine, quiet
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.stages import Setup
from transfergrid.sources.domain_alone import DomainAlone
from transfergrid.sources.source import Source
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Phase
from transfergrid.testing.tiny import TinyDomain, TinyExamples, TinySource, source_classes
from transfergrid.testing.tiny_clusters import TinyClusters, TinyTextClusters, TinyVectorClusters
from transfergrid.testing.tiny_entries import TinyEntries
from transfergrid.testing.tiny_numbers import TinyNumbers, TinyTextNumbers
from transfergrid.testing.tiny_text import TinyTextDomain, TinyTextSource
from transfergrid.testing.tiny_tokens import TinyTokenSource
from transfergrid.testing.tiny_vectors import (
    TinyVectorDomain,
    TinyVectorNumbers,
    TinyVectorSource,
)
from transfergrid.testing.watched import Notes, WatchedDriver

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 3
MANY = 10
"""Labels for each class in cells with target labels: enough for a validation part."""
MANY_NUMBERS = 50
"""Total number of labels in these cells if the labels are numbers."""
ALL: tuple[StreamName, ...] = ("target", "unlabelled", "source")


@dataclass
class Run:
    """A cell that has been run."""

    setup: Setup
    fitted: Fit
    state: dict[str, Tensor]
    """State dict of the strategy after training."""
    predictions: Tensor
    """Decoded predictions on the test split, (n, outputs)."""
    notes: Notes = field(default_factory=Notes)
    """What a `WatchedDriver` noted; empty otherwise."""


@dataclass
class Moment:
    """A phase just before its first step: `before` has run, and what does not learn is frozen."""

    setup: Setup
    number: int
    phase: Phase
    batch: Batch

    @property
    def strategy(self) -> Strategy:
        """The strategy, in training mode."""
        return self.setup.strategy


@dataclass
class Bench:
    """Makes cells of one strategy class; caches those that several checks use.

    Args:
        strategy_class: the class that is checked.
        arguments: arguments of its constructor.
        yaml: its config file, if it has one.
        training: the training config of the cells.
        machine: the machine that the cells run on.
        domain: class of the cells' target domains.
        source: the cells' source; by default trained on one tiny domain, or on several if the
            strategy needs them.
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
        if self.source == TinySource():
            self.source = TinySource(domain=source_domain(self.strategy_class.needs))
        self._runs: dict[Labels, Run] = {}
        self._spare: dict[Labels, Setup] = {}
        self.passed: dict[Labels, bool] = {}
        self._disturbance = itertools.count()

    def on_texts(self) -> Bench:
        """Return a bench for the same strategy with cells on texts."""
        kind = TinyTextNumbers if self.of_numbers else TinyTextDomain
        if self.of_clusters:
            kind = TinyTextClusters
        source = TinyTextSource(domain=source_domain(self.strategy_class.needs, kind))
        return dataclasses.replace(self, domain=kind, source=source)

    def on_vectors(self) -> Bench:
        """Return a bench for the same strategy with cells on vectors."""
        domain = TinyVectorNumbers if self.of_numbers else TinyVectorDomain
        if self.of_clusters:
            domain = TinyVectorClusters
        source = TinyVectorSource(domain=source_domain(self.strategy_class.needs, domain))
        return dataclasses.replace(self, domain=domain, source=source)

    def on_tokens(self) -> Bench:
        """Return a bench for the same strategy with a vision transformer as network."""
        return dataclasses.replace(self, source=TinyTokenSource(domain=self.source.domain))

    def on_numbers(self) -> Bench:
        """Return a bench for the same strategy with numbers as labels."""
        source = TinySource(domain=source_domain(self.strategy_class.needs, TinyNumbers))
        return dataclasses.replace(self, domain=TinyNumbers, source=source)

    def on_clusters(self) -> Bench:
        """Return a bench for the same strategy with clustering: labels serve only to score."""
        return dataclasses.replace(self, domain=TinyClusters)

    def on_entries(self) -> Bench:
        """Return a bench for the same strategy with cells that complete a matrix."""
        source = DomainAlone(source_domain(self.strategy_class.needs, TinyEntries))
        return dataclasses.replace(self, domain=TinyEntries, source=source)

    @property
    def is_of_entries(self) -> bool:
        """Whether examples are the entries of a matrix."""
        return self.domain.of_entries

    @property
    def is_of_texts(self) -> bool:
        """Whether inputs are texts."""
        return self.domain.modality == "text"

    @property
    def of_numbers(self) -> bool:
        """Whether labels are numbers."""
        return issubclass(self.domain, TinyNumbers)

    @property
    def of_clusters(self) -> bool:
        """Whether the task is clustering, where labels serve only to score."""
        return self.domain.metric == TinyClusters.metric

    def strategy(self) -> Strategy:
        """Return a new strategy, not yet attached to anything."""
        made: Strategy = self.strategy_class(**copy.deepcopy(self.arguments))
        return made

    def budgets(self) -> tuple[Labels, ...]:
        """Return the label budgets under which this strategy can run."""
        need = self.strategy_class.needs.target_labels
        many = MANY_NUMBERS if self.of_numbers else MANY
        return {"required": (many,), "optional": (0, many), "unused": (0,)}[need]

    def set_up(
        self, labels: Labels, target: TinyDomain | None = None, strategy: Strategy | None = None
    ) -> Setup:
        """Build a cell and attach its strategy; global random states differ at every call."""
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

    def driver(
        self,
        setup: Setup,
        kind: type[Driver] = Driver,
        checkpoint: Checkpoints | None = None,
    ) -> Driver:
        """Return the driver that trains a cell."""
        quiet()
        metric = setup.target.domain.metric
        log: Log = lambda values, step: None  # noqa: E731
        data, machine = setup.data, self.machine
        return kind(setup.strategy, data, machine, metric, log, checkpoint=checkpoint)

    def prepared(self, labels: Labels) -> Setup:
        """Return a cell just before its first step."""
        setup = self.set_up(labels)
        on_the_eve(self.driver(setup), 0)
        return setup

    def learn(self, setup: Setup) -> Run:
        """Train a cell and score it."""
        return self._finished(setup, self.driver(setup))

    def _finished(self, setup: Setup, driver: Driver) -> Run:
        fitted = driver.run()
        state = state_of(setup.strategy)
        loaded = setup.target.loaded
        with unsealed(cast(TinyExamples, loaded.pool)), unsealed(cast(TinyExamples, loaded.test)):
            predictions = cell.judge(setup, self.machine).test[0]
        return Run(setup, fitted, state, predictions)

    def run(self, labels: Labels, target: TinyDomain | None = None) -> Run:
        """Run a cell from start to finish."""
        return self.learn(self.set_up(labels, target))

    def trained(self, labels: Labels) -> Run:
        """Return the plain run of this label budget; it runs once, under a `WatchedDriver`."""
        if labels not in self._runs:
            setup = self.set_up(labels)
            driver = self.driver(setup, WatchedDriver)
            assert isinstance(driver, WatchedDriver)
            self._runs[labels] = self._finished(setup, driver)
            self._runs[labels].notes = driver.notes
        return self._runs[labels]

    def spare(self, labels: Labels) -> Setup:
        """Return a cell that is never run, so its data are unchanged; the same at each call."""
        if labels not in self._spare:
            self._spare[labels] = self.set_up(labels)
        return self._spare[labels]

    def moments(self, labels: Labels) -> Iterator[Moment]:
        """Yield each phase that has steps, one at a time, as it is just before its first step."""
        run, setup = self.trained(labels), self.spare(labels)
        driver = self.driver(setup)
        for number, state in run.notes.starts.items():
            setup.strategy.load_state_dict(state)
            on_the_eve(driver, number)
            phase = driver.phases[number]
            data = setup.data.of_steps(phase.counts)
            yield Moment(setup, number, phase, self.batch(data, 0, phase.reads, phase.episode))

    def batch(
        self,
        data: CellData,
        step: int = 0,
        reads: Sequence[StreamName] = ALL,
        episode: tuple[int, int, int] = Phase.episode,
    ) -> Batch:
        """Return the batch that a cell with these data learns from at a step."""
        plan, steps = self.training, range(step, step + 1)
        augmenting = Augmenting(plan.augmentation, plan.views)
        return StepBatches(data, SEED, steps, plan.batch_size, augmenting, reads, episode)[0]

    def disturb(self) -> None:
        """Change the global random states, so that no cell can rely on them."""
        number = next(self._disturbance)
        random.seed(number)
        np.random.seed(number)
        seed_torch(number)


def source_domain(needs: Needs, kind: type[TinyDomain] = TinyDomain, differ: bool = False) -> Any:
    """Return the training domain of a tiny source, or several if a strategy needs them.

    Args:
        needs: what the strategy needs.
        kind: class of the domains.
        differ: whether their classes differ from the target's, if the strategy allows that.
    """
    shifts = (0.4, 0.7) if needs.domains > 1 or needs.each else (0.4,)
    told = {} if NUMBERS in kind.tasks else source_classes(needs, differ)
    each = [kind(shift=shift, **told) for shift in shifts]
    return each[0] if len(each) == 1 else SeveralDomains(parts=each, metric=each[0].metric)


def on_the_eve(driver: Driver, number: int) -> None:
    """Do what a driver does before a phase's first step."""
    phase, driver.number = driver.phases[number], number
    driver.strategy.learn_only(phase.learning())
    if phase.before is not None:
        driver.prepare(phase, 0)
    driver.strategy.train()


def state_of(strategy: Strategy) -> dict[str, Tensor]:
    """Return a copy of a strategy's state dict."""
    return {name: value.detach().clone() for name, value in strategy.state_dict().items()}


@contextmanager
def quiet_thread() -> Iterator[None]:
    """Use one thread while inside; then restore threads, deterministic mode and random states."""
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


@contextmanager
def sealed(examples: TinyExamples, *what: str) -> Iterator[None]:
    """Make examples raise `SealedError` when their "images" or "labels" are read.

    If they are a subset of other examples, such as those of some classes, all of those are sealed.
    """
    examples = cast(TinyExamples, getattr(examples, "whole", examples))
    before, examples.sealed = examples.sealed, frozenset(what)
    try:
        yield
    finally:
        examples.sealed = before


def unsealed(examples: TinyExamples) -> Any:
    """Allow sealed examples to be read while inside."""
    return sealed(examples)


def opened(target: TinyDomain) -> tuple[TinyExamples, TinyExamples]:
    """Return the pool and the test split that cells with this target read."""
    loaded = OpenDomain(config_of(target)).loaded
    return cast(TinyExamples, loaded.pool), cast(TinyExamples, loaded.test)
