"""The value reported to a W&B sweep agent: the mean validation score of the cells it requested."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from transfergrid.records.cell import Cell
from transfergrid.records.errors import BadInputError
from transfergrid.records.keeping import can_be_chosen
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import warn
from transfergrid.records.tracking.agents import AgentRun
from transfergrid.records.tracking.tracker import RunCard, SafeTracker, Tracker
from transfergrid.records.tracking.wandb_tracker import WandbTracker


def check(agent: AgentRun | None, cells: Iterable[Cell]) -> None:
    """Raise `BadInputError` if there would be no score to report to an agent."""
    without = [cell for cell in cells if not can_be_chosen(cell)]
    if agent is not None and without:
        raise BadInputError(
            f"sweep {agent.sweep} judges by validation scores, and no label validates in "
            f"{without[0].label}"
        )


def tell(agent: AgentRun, tracker: Tracker, ledger: Ledger, cells: Sequence[Cell]) -> None:
    """Log the mean validation score of the cells to the run that the agent created.

    The run counts as failed if a cell has no such score. Test scores are not read.
    """
    from transfergrid.runs.run_cards import VALIDATION_SCORE, validation_score  # imports torch

    if not isinstance(tracker, WandbTracker):
        warn(f"sweep {agent.sweep} hears of no score: add tracking=wandb to its command")
        return
    records = [ledger.read(cell.id) for cell in cells if ledger.is_done(cell.id)]
    scores = [score for score in map(validation_score, records) if score is not None]
    failed, safe = len(scores) < len(cells), SafeTracker(tracker)
    told = {} if failed else {VALIDATION_SCORE: statistics.fmean(scores)}
    safe.start(_card(agent, ledger, cells))
    safe.log(told, 0)
    safe.finish(told, failed)


def _card(agent: AgentRun, ledger: Ledger, cells: Sequence[Cell]) -> RunCard:
    return RunCard(
        id=agent.id,
        name=f"sweep {agent.id}",
        group="",
        job_type="sweep",
        tags=(),
        config={**agent.chosen, "cells": [cell.id for cell in cells]},
        results=ledger.root,
        agent=agent,
    )
