"""Weight averaging: the mean of the weights over the last steps instead of the final weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfergrid.data.inputs import Inputs
from transfergrid.strategies.composition.additions import Addition, Composed, own_learners
from transfergrid.strategies.phases import After, Data, Phase
from transfergrid.strategies.weight_space.batch_statistics import norms_of, retake, statistics_of
from transfergrid.strategies.weight_space.running_mean import RunningMean


class AveragedWeights(Addition):
    """Average the learning parameters over the last steps of the last phase that takes steps.

    It works as `strategy=weight_averaging` (Izmailov et al. 2018, algorithm 1), but with the
    strategy's own schedule: if the rate falls to 0 there is little to average; `constant` suits it.
    BatchNorm's statistics are recomputed where the phase reads labelled examples, else averaged.
    """

    key = "weight_averaging"

    def prepare(self, strategy: Composed, value: float) -> None:
        """Make the module that keeps the running mean."""
        own = partial(_averaged, strategy)
        strategy.scaffold["weight_averaging"] = RunningMean(own, value)

    def phases(self, strategy: Composed, value: float, phases: list[Phase]) -> list[Phase]:
        """Return the phases; after the last one that takes steps the mean replaces the weights."""
        last = max(i for i, p in enumerate(phases) if p.objectives and p.counts == "steps")
        mean, phase = _mean_of(strategy), phases[last]
        predicts = partial(_said_by_mean, mean, phase.predicts or strategy.predict)
        alike = [  # the same `predicts`, because a change of it would restore the best step so far
            replace(p, predicts=predicts)
            if p.counts == "steps" and p.predicts == phase.predicts
            else p
            for p in phases[:last]
        ]
        noting = replace(phase, after=partial(_both, phase.after, mean.note), predicts=predicts)
        labelled = [stream for stream in phase.reads if stream in ("target", "source")]
        put = Phase("average", before=partial(_put, strategy), reads=labelled)
        return [*alike, noting, put, *phases[last + 1 :]]


def _mean_of(strategy: Composed) -> RunningMean:
    mean = strategy.scaffold["weight_averaging"]
    assert isinstance(mean, RunningMean)
    return mean


def _averaged(strategy: Composed) -> list[Tensor]:
    learning = own_learners(strategy)
    moving = [p for p in strategy.parameters() if id(p) in learning]
    return [*moving, *statistics_of(_norms(strategy, moving))]


def _norms(strategy: Composed, moving: list[nn.Parameter]) -> list[_BatchNorm]:
    """Return the BatchNorm layers, in all of the strategy, whose running statistics move."""
    assert isinstance(strategy, nn.Module)
    return norms_of(strategy, moving)


def _both(first: After | None, second: After, step: int, steps: int) -> None:
    if first is not None:
        first(step, steps)
    second(step, steps)


def _said_by_mean(mean: RunningMean, predict: Callable[[Inputs], Tensor], inputs: Inputs) -> Tensor:
    with mean.in_place():
        return predict(inputs)


def _put(strategy: Composed, data: Data) -> None:
    views = [view for view in (data.target, *data.source) if view is not None]
    if _mean_of(strategy).put() and views:
        learning = own_learners(strategy)
        moving = [p for p in strategy.parameters() if id(p) in learning]
        retake(_norms(strategy, moving), views, strategy.predict)
