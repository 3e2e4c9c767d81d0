"""Episodes of a cell: what is learned once for all of them, and what anew for each.

The leading phases that read no target are run once. The remaining phases are run anew for each
episode from the state after those: the episode's support set is the target's labelled part, and the
strategy then predicts its query set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from transfergrid.data.batches import StreamName
from transfergrid.runs.curve import Fit
from transfergrid.runs.driver import Driver
from transfergrid.runs.machine import Machine
from transfergrid.runs.predictions import predictions
from transfergrid.runs.stages import Setup
from transfergrid.runs.standing import standing
from transfergrid.runs.states import State
from transfergrid.strategies.phases import Phase

WITHOUT_TARGET: frozenset[StreamName] = frozenset(("source", "episode"))
"""Streams that a phase may read which is run once for all episodes."""


def shared(phases: Sequence[Phase]) -> int:
    """Return the number of leading phases that read no target, so are the same for all episodes."""
    for number, phase in enumerate(phases):
        if not set(phase.reads) <= WITHOUT_TARGET:
            return number
    return len(phases)


def learned(driver: Driver) -> tuple[Fit, State]:
    """Run the shared phases, then the first episode; return its fit and the shared state.

    Each episode begins with the shared state. Only the shared phases are checkpointed.
    """
    begun = deepcopy(driver.run_first(shared(driver.phases)))
    driver.checkpoint = None
    return driver.run(), begun


def answers(setup: Setup, machine: Machine, begun: State) -> Tensor:
    """Return the predictions for all queries of all episodes, (n, ways), in the test's order.

    Args:
        setup: the cell's parts; afterwards its strategy is as the last episode left it.
        machine: where to run.
        begun: the state that each episode begins with.
    """
    target, rounds = setup.target, setup.target.loaded.rounds
    assert rounds is not None
    shots = len(setup.drawn.train) // rounds.ways
    found = []
    for number in range(rounds.count):
        train = target.view("pool", setup.preprocess, rounds.support(number, shots))
        asked = target.view("test", setup.preprocess, rounds.query(number))
        data = replace(setup.data, train=train if setup.data.train is not None else None)
        driver = Driver(setup.strategy, data, machine, target.domain.metric, _unheard)
        driver.restore(begun)
        driver.run()
        still = standing(setup.strategy, driver.phases, machine, (train, asked))
        found.append(predictions(setup.strategy, asked, machine, still))
    return torch.cat(found)


def _unheard(values: Mapping[str, float], step: int) -> None:
    """Log nothing: an episode has no curves of its own."""
