"""Trains the seeds of one cell side by side, where that pays; each then runs as any other cell.

The result is, for each cell, the state that its own run would have after its last step. A cell
without such a state is trained alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from transfergrid.data.streams import Augmenting
from transfergrid.records.cell import Cell
from transfergrid.records.errors import BadInputError, as_line
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import warn
from transfergrid.records.process.telling import ALONE, tell
from transfergrid.records.tracking.tracker import NoTracker, SafeTracker, Tracker
from transfergrid.runs.cell import maker_of, set_up
from transfergrid.runs.cost import Spent, Stopwatch, peak_memory, reset_peak_memory
from transfergrid.runs.driver import Driver
from transfergrid.runs.launching.seeds import Stacked
from transfergrid.runs.learner import Learner
from transfergrid.runs.machine import Machine, quiet
from transfergrid.runs.side_by_side import SideBySide, names_ahead
from transfergrid.runs.stages import Setup, Share
from transfergrid.runs.standing import are_fixed
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Phase

LARGEST = 300_000
"""Most parameters in the blocks that a step runs for which stacking pays on a CPU, see
experiments/speed."""
LARGEST_GPU = 5_000_000
"""The same on a GPU, which small networks leave idle; ten seeds of such networks fit on any."""
DROPOUT = nn.modules.dropout._DropoutNd
PLAIN = (nn.Linear, nn.LayerNorm, nn.BatchNorm1d)
"""Layers that stack well on a CPU; convolutions do not."""


def train_together(
    cells: Sequence[Cell],
    ledger: Ledger,
    machine: Machine,
    tracker: Tracker | None = None,
    asked: Stacked = "auto",
) -> dict[str, Share]:
    """Train cells that differ in their seed alone; return the share of each, by identity.

    A cell without a state is to be trained alone: all of them if their network or strategy does not
    suit, or one whose training diverged.

    Args:
        cells: cells that differ in their seed alone.
        ledger: where their records go, and where trained sources are kept.
        machine: where to train.
        tracker: gets a run for a source that is trained.
        asked: True stacks wherever that is possible, "auto" only where it pays.
    """
    quiet()
    machine = machine.kept_in(ledger.root)
    torch.set_num_threads(machine.threads)
    reset_peak_memory(machine.device)
    clock = Stopwatch()
    safe = SafeTracker(tracker or NoTracker(), clock.aside)
    maker = maker_of(cells[0], ledger, machine, safe, clock)
    drivers: dict[int, Driver] = {}
    try:
        with clock.measure("load"):
            setups = [set_up(cells[0], maker)]
            suits = _suits(setups[0], machine, asked)
            setups += [set_up(cell, maker) for cell in cells[1:] if suits]
        with clock.measure("train"):
            drivers = _trained(setups, machine) if suits else {}
    except BadInputError:  # a cell that runs alone will report it
        pass
    except Exception as error:
        reason = as_line(error, 200)
        warn(f"seeds of {cells[0].names.strategy} are trained one by one: {reason}")
    if not drivers:
        tell(ALONE)
        return {cells[0].id: Share(None, _spent(clock.seconds, machine), 1)}
    once = {"source": clock.seconds.pop("source", 0.0)}
    each = {name: seconds / len(cells) for name, seconds in clock.seconds.items()}

    def share(place: int, driver: Driver) -> Share:
        seconds = each if place else {**each, **once}
        return Share(driver.state(), _spent(seconds, machine), len(cells))

    return {cells[place].id: share(place, driver) for place, driver in drivers.items()}


def _spent(seconds: Mapping[str, float], machine: Machine) -> Spent:
    return Spent(dict(seconds), sum(seconds.values()), peak_memory(machine.device))


def _trained(setups: Sequence[Setup], machine: Machine) -> dict[int, Driver]:
    """Train strategies side by side; return the drivers of those that did not diverge, by place."""
    drivers = [_driver(setup, machine) for setup in setups]
    for driver in drivers:
        driver.strategy.learn_only(driver.phases[0].learning())
    stack = SideBySide([Learner(d, d.phases[0], d.lengths[0]) for d in drivers])
    stack.train_on(machine)
    found = {p: driver for p, driver in enumerate(drivers) if p not in stack.lost}
    for driver in found.values():
        driver.look_at_the_end(driver.phases[0])
        driver.go_on()
    return found


def _driver(setup: Setup, machine: Machine) -> Driver:
    metric = setup.target.domain.metric
    told = (setup.strategy, setup.data, machine, metric, lambda values, step: None)
    return Driver(*told, selecting=setup.selecting)


def _suits(setup: Setup, machine: Machine, asked: Stacked) -> bool:
    """Return whether seeds of a cell can be trained side by side and, unless `asked`, it pays."""
    strategy, driver = setup.strategy, _driver(setup, machine)
    plan, phase = strategy.training_plan, driver.phases[0]
    if not strategy.stackable or setup.tuned is not None or not driver.lengths[0]:
        return False
    if not _is_one_pass(driver.phases):
        return False
    if plan.precision != "32-true" or plan.accumulate > 1 or plan.gradient_clip is not None:
        return False
    cut = _cut(driver)
    is_text = isinstance(strategy.backbone.example(), dict)
    if is_text and cut < len(strategy.backbone.blocks("fine")):
        return False  # texts: the seeds' batches are padded to different lengths
    strategy.learn_only(phase.learning())
    strategy.train()
    if any(isinstance(m, DROPOUT) and m.training and m.p for m in strategy.modules()):
        return False  # dropout: each seed draws its own
    return asked is True or _pays(strategy, cut, machine)


def _is_one_pass(phases: Sequence[Phase]) -> bool:
    """Return whether there is only one phase, of plain steps on one objective."""
    first = phases[0]
    if len(phases) > 1 or len(first.objectives) != 1 or first.objectives[0].repeat > 1:
        return False
    between = (first.before, first.after, first.combine, first.until)
    alike = not any(callable(group.factor) for group in first.learning())
    return first.counts == "steps" and alike and all(what is None for what in between)


def _cut(driver: Driver) -> int:
    """Return how many leading blocks the steps do not run: they are frozen, with cached outputs."""
    plan = driver.strategy.training_plan
    fixed = are_fixed(driver.phases[0], Augmenting(plan.augmentation, plan.views))
    found = driver.standing(driver.phases) if fixed else None
    return found.blocks if found is not None else 0


def _pays(strategy: Strategy, cut: int, machine: Machine) -> bool:
    ahead, size, plain = names_ahead(strategy, cut), 0, True
    for path, layer in strategy.named_modules():
        for name, parameter in layer.named_parameters(path, recurse=False):
            if name not in ahead:
                size += parameter.numel()
                plain &= isinstance(layer, PLAIN)
    if machine.device.type != "cpu":
        return size <= LARGEST_GPU
    return plain and size <= LARGEST
