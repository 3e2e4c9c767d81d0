"""Episodes of a cell: what is learned once for all of them, and then anew for each.

The phases that read no target come first and are run once; what follows begins, for each episode,
from where they left off, with its support as the target's labels, and answers its queries.
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
"""What a phase may read that is run once."""


def shared(phases: Sequence[Phase]) -> int:
    """Return how many of the first phases read no target, and so are the same for all episodes."""
    for number, phase in enumerate(phases):
        if not set(phase.reads) <= WITHOUT_TARGET:
            return number
    return len(phases)


def learned(driver: Driver) -> tuple[Fit, State]:
    """Run what all episodes share, and then the first episode; return what the others begin with.

    What goes on after a kill is the part that they share.
    """
    begun = deepcopy(driver.run_first(shared(driver.phases)))
    driver.checkpoint = None
    return driver.run(), begun


def answers(setup: Setup, machine: Machine, begun: State) -> Tensor:
    """Return what is predicted of every query of every episode, (n, ways), in the test's order.

    Args:
        setup: of the cell, whose strategy is left as the last episode leaves it.
        machine: where to run.
        begun: what each episode begins with.
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
    """Take no note of a curve: an episode has none of its own."""
