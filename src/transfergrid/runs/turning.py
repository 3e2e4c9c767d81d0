"""A hyperparameter that acts after training: its values are put one by one, and the best stays."""

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
"""So many training examples at most tell the loss along a path."""


def turned(
    dial: Dial, phase: Phase, step: int, choice: Choice, train: View | None, still: StillNow
) -> Path:
    """Leave a dial at its best value, or at the default where nothing validates.

    Args:
        dial: of the phase.
        phase: says by what it is judged.
        step: of the run, after which it is turned.
        choice: looks at each value, and holds what the best one made of the strategy.
        train: the labelled training examples as the phase takes them, for a dial that is traced.
        still: is asked anew for each value.
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
    """Return the loss on evenly spread training examples, not augmented, in eval mode."""
    if len(train) > LARGEST_TRAIN:
        train = train.part(np.linspace(0, len(train) - 1, LARGEST_TRAIN).astype(np.int64))
    strategy = choice.strategy
    said = predictions(strategy, train, choice.machine, still, by=phase.predicts)
    return strategy.task.criterion(said, torch.from_numpy(train.labels))
