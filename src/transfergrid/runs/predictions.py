"""Passes the examples of a view through a strategy: predictions, features, or the like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytorch_lightning as pl
import torch
from torch import Tensor

from transfergrid.data.inputs import Inputs
from transfergrid.data.views import View
from transfergrid.runs.machine import Machine, applied
from transfergrid.runs.standing import Standing, StandingView
from transfergrid.strategies.base import Strategy

Hear = Callable[[Tensor], None]
"""Receives the embeddings that predictions were made from, (n, dim), in the view's order."""


def predictions(
    strategy: Strategy,
    view: View,
    machine: Machine,
    standing: Standing | None = None,
    hear: Hear | None = None,
    by: Callable[[Inputs], Tensor] | None = None,
) -> Tensor:
    """Return decoded predictions, (n, outputs) float32 on the CPU, in the view's order.

    Args:
        strategy: the strategy that predicts.
        view: the examples.
        machine: where to run.
        standing: its frozen leading blocks, whose outputs are cached.
        hear: see `said`.
        by: the function that predicts; None: the strategy's `predict`.

    Raises:
        FloatingPointError: a prediction is not finite; such a run has no valid score.
    """
    outputs = said(strategy, by or strategy.predict, view, machine, standing=standing, hear=hear)
    found = strategy.task.decode(outputs.float().cpu())
    if not bool(found.isfinite().all()):
        raise FloatingPointError("the predictions are not finite")
    return found


def said(
    strategy: Strategy,
    by: Callable[[Inputs], Tensor],
    view: View,
    machine: Machine,
    trainer: pl.Trainer | None = None,
    standing: Standing | None = None,
    hear: Hear | None = None,
) -> Tensor:
    """Return the outputs of a strategy's function for a whole view, in eval mode, in its order.

    Args:
        strategy: the strategy that `by` belongs to.
        by: `predict`, `features`, or the like.
        view: the examples.
        machine: where to run.
        trainer: the trainer in which the strategy is training now; None: it is not training.
        standing: its frozen leading blocks, whose outputs are cached.
        hear: receives the outputs of `features` on the way, if it ran once for each example.
    """
    if standing is not None and not isinstance(view, StandingView):
        view = standing.view(view)
    silent: list[Tensor] = []
    listening = overhearing(strategy) if hear is not None else nullcontext(silent)
    with applied(strategy, machine, trainer) as brought, listening as heard:
        strategy.cut = standing.blocks if standing is not None else 0
        parts = [by(brought(batch).inputs) for batch in machine.evaluation_loader(view)]
    if hear is not None and [*map(len, heard)] == [*map(len, parts)]:
        hear(_in_order(heard, view))
    return _in_order(parts, view)


def _in_order(parts: list[Tensor], view: View) -> Tensor:
    found = torch.cat(parts)
    in_order = torch.empty_like(found)
    in_order[torch.from_numpy(view.reading_order()).to(found.device)] = found
    return in_order


@contextmanager
def overhearing(strategy: Strategy) -> Iterator[list[Tensor]]:
    """Yield a list that collects the outputs of the strategy's `features`, call by call."""
    heard: list[Tensor] = []
    features = strategy.features

    def listened(inputs: Inputs, recorded: bool = True) -> Tensor:
        heard.append(features(inputs, recorded))
        return heard[-1]

    object.__setattr__(strategy, "features", listened)
    try:
        yield heard
    finally:
        object.__delattr__(strategy, "features")
