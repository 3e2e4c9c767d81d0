"""Scores of a trained strategy on its source domains' own tasks, on their own test parts."""

from __future__ import annotations

import torch

from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import Config
from transfergrid.records.identity import config_digest
from transfergrid.records.metrics import METRICS
from transfergrid.records.record import Metric, OtherTask
from transfergrid.runs.machine import Machine
from transfergrid.runs.predictions import said
from transfergrid.runs.stages import Setup
from transfergrid.strategies.phases import Other


def other_tasks(setup: Setup, machine: Machine) -> tuple[OtherTask, ...]:
    """Return the scores on source domains' tasks; none if the strategy keeps no head of a source.

    This happens after every choice. A test part is read once for each score on it.

    Raises:
        FloatingPointError: a prediction is not finite.
    """
    return tuple(_scored(other, setup, machine) for other in setup.strategy.other_tasks())


def _scored(other: Other, setup: Setup, machine: Machine) -> OtherTask:
    config: Config = setup.sources[other.domain]
    opened = OpenDomain(config, machine.store)
    view, task = opened.whole("test", setup.preprocess), setup.strategy.source_tasks[other.domain]
    found = task.decode(said(setup.strategy, other.predicts, view, machine).float().cpu())
    if not bool(found.isfinite().all()):
        raise FloatingPointError("the predictions of the source's task are not finite")
    decides = opened.domain.metric
    return OtherTask(
        name=setup.sources_called[other.domain] if setup.sources_called else opened.domain.kind,
        target_part=config_digest(config),
        after=other.after,
        metric=Metric(name=decides, higher_is_better=METRICS[decides].higher_is_better),
        test=task.scores(found, torch.from_numpy(view.labels)),
        examples=len(view),
    )
