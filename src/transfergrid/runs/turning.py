"""A dial, a hyperparameter that acts after training: tries its values, and keeps the best."""

from __future__ import annotations

import numpy as np
import torch

from transfergrid.data.views import View
from transfergrid.records.record import Path
from transfergrid.runs.choosing import Choice
from transfergrid.runs.predictions import predictions
from transfergrid.runs.seen import StillNow
from transfergrid.runs.standing import Standing
from transfergrid.strategies.phases import Dial, Phase

LARGEST_TRAIN = 2000
"""Most training examples on which the loss along a path is computed."""


def turned(
    dial: Dial, phase: Phase, step: int, choice: Choice, train: View | None, still: StillNow
) -> Path:
    """Set a dial to its best value, or to its default if nothing validates; return its path.

    Args:
        dial: the phase's dial.
        phase: says how the strategy predicts.
        step: the run's step after which the dial is turned.
        choice: scores each value, and keeps the strategy's state at the best one.
        train: the labelled training examples as the phase takes them, for a traced dial.
        still: returns the frozen, cached blocks; called anew for each value.
    """
    tells = train if dial.traced else None
    is_judged = choice.view is not None
    values = dial.nearest_first() if is_judged or tells is not None else [dial.default]
    scores, losses = dict[float, float | None](), dict[float, float]()
    chosen = dial.default
    for value in values:
        _put(dial, value)
        known, before = still(), choice.best
        scores[value] = choice.look(phase, step, standing=known)
        if choice.best is not before:
            chosen = value
        if tells is not None:
            losses[value] = _loss(choice, phase, tells, known)
    if is_judged:
        choice.take()
    elif len(values) > 1:
        _put(dial, chosen)
    path = [value for value in dial.values if value in scores]
    return Path(
        name=dial.name,
        values=tuple(path),
        validation=tuple(scores[value] for value in path) if is_judged else (),
        train_loss=tuple(losses[value] for value in path if losses),
        chosen=chosen,
    )


def _put(dial: Dial, value: float) -> None:
    with torch.no_grad():
        dial.put(value)


def _loss(choice: Choice, phase: Phase, train: View, still: Standing | None) -> float:
    """Return the loss on evenly spaced training examples, not augmented, in eval mode."""
    if len(train) > LARGEST_TRAIN:
        train = train.part(np.linspace(0, len(train) - 1, LARGEST_TRAIN).astype(np.int64))
    strategy = choice.strategy
    said = predictions(strategy, train, choice.machine, still, by=phase.predicts)
    return strategy.task.criterion(said, torch.from_numpy(train.labels))
