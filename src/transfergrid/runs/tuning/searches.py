"""Which settings a cell tries: each is a function of its number, the seed block and earlier trials.

So a stopped search can resume, a search with more trials begins with the same ones, and the arms of
a seed block draw the same positions in their ranges. Imports no torch.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, ClassVar, Literal

from typing_extensions import override

from transfergrid.records.arguments import Count, Options, Whole
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError
from transfergrid.records.record import Trial
from transfergrid.records.seeds import generator, stream_seed
from transfergrid.records.space import Range

Values = dict[str, float]
RANDOM_FIRST = 4
"""One in this many of Optuna's trials is drawn at random: the first ones, to learn from."""


@dataclass(frozen=True)
class Search(Component, ABC):
    """How the settings of a strategy are searched, with the same number of trials for all arms.

    Args:
        trials: how many settings each arm tries, each trained for the full number of steps.
        space: ranges by the strategy's argument: `low`, `high`, `log` and `default` as in the
            strategy's own YAML. Planning fills it from there; what is given here wins.
        only: arguments of the space that are searched; the rest keeps its defaults. None: all.
        seed: seed of the draws, for the same settings in all seed blocks; None: the seed block's.
        held_out: labels per class (of numbers, in all) of a development target that score the
            trials and are given to no strategy; None: the cell's validation part scores them.
        warm_start: "defaults": the first trial has the strategy's defaults; "ledger": the first
            trials have the settings that validated best on other targets, for the same strategy.
            The other trials are those of a search without a warm start.
        first: the trials of the warm start: `values`, and the `cell` and `target` that they come
            from, if any. Planning fills it.

    Raises:
        BadInputError: a value makes no sense.
    """

    group: ClassVar[str] = "tuning"
    optional: ClassVar[tuple[str, ...]] = ("only", "seed", "held_out", "warm_start", "first")

    trials: Count = 8
    space: Options = field(default_factory=dict)
    only: Sequence[str] | None = None
    seed: Whole | None = None
    held_out: Count | None = None
    warm_start: Literal["defaults", "ledger"] | None = None
    first: Sequence[Options] | None = None

    @property
    def count(self) -> int:
        """How many trials there are."""
        return self.trials

    @property
    def ranges(self) -> dict[str, Range]:
        """The searched ranges, by the strategy's argument."""
        return {name: Range(**told) for name, told in self.space.items()}

    def begin(self, number: int) -> Mapping[str, Any] | None:
        """Return the warm start of a trial, counted from 0; None if its setting is searched."""
        first = self.first or ()
        return first[number] if number < len(first) else None

    def check(self) -> None:
        """Raise `BadInputError` if a package that this search needs is missing."""

    @abstractmethod
    def values(self, number: int, seed: int, before: Sequence[Trial], maximise: bool) -> Values:
        """Return the setting of a trial.

        Args:
            number: the trial's number, from 0, without those of a warm start.
            seed: seed of the draws: the search's own `seed`, else the seed block.
            before: the trials so far.
            maximise: whether higher scores are better.
        """


class RandomSearch(Search):
    """Independent draws, uniform over each range or over its logarithm."""

    @override
    def values(self, number: int, seed: int, before: Sequence[Trial], maximise: bool) -> Values:
        return {
            name: told.at(generator(seed, "tuning", name, number).random())
            for name, told in self.ranges.items()
        }


class GridSearch(Search):
    """Evenly spaced points of each range, ends included.

    All ranges get the same number of points (whole numbers at most all that there are), the least
    for which the whole grid has as many points as there are trials. The seed block draws which of
    them are tried; they are tried in grid order.
    """

    @override
    def values(self, number: int, seed: int, before: Sequence[Trial], maximise: bool) -> Values:
        points = self._points()
        order = generator(seed, "tuning", "grid").permutation(len(points))
        place: int = sorted(order[: self.trials].tolist())[number]
        return points[place]

    @property
    @override
    def count(self) -> int:
        return min(self.trials, len(self._points()))

    def _points(self) -> list[Values]:
        """Return the smallest full grid with at least as many points as trials, or the largest."""
        ranges, each, points = self.ranges, 1, list[Values]()
        while len(points) < self.trials:
            axes = [dict.fromkeys(_even(told, each)) for told in ranges.values()]
            found = [dict(zip(ranges, point, strict=True)) for point in product(*axes)]
            if each > self.trials and len(found) == len(points):
                break  # whole numbers: the ranges hold no further ones
            points, each = found, each + 1
        return points


def _even(told: Range, n: int) -> list[float]:
    """Return n evenly spaced values of a range, ends included; its middle for n = 1."""
    if n == 1:
        return [told.at(0.5)]
    return [told.at(place / (n - 1)) for place in range(n)]


class OptunaSearch(Search):
    """Optuna's tree-structured Parzen estimator (TPE), which learns from all earlier trials."""

    @override
    def check(self) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise BadInputError(
                "tuning=optuna needs Optuna: pip install 'transfergrid[optuna]', or take "
                "tuning=random"
            )

    @override
    def values(self, number: int, seed: int, before: Sequence[Trial], maximise: bool) -> Values:
        self.check()
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(
            seed=stream_seed(seed, "tuning", "optuna", number) % 2**32,
            n_startup_trials=self.trials // RANDOM_FIRST,
        )
        study = optuna.create_study(
            direction="maximize" if maximise else "minimize", sampler=sampler
        )
        places = {name: _distribution(optuna, told) for name, told in self.ranges.items()}
        states = optuna.trial.TrialState
        for trial in before:
            study.add_trial(
                optuna.trial.create_trial(
                    params=trial.values,
                    distributions={name: places[name] for name in trial.values},
                    value=trial.score,
                    state=states.FAIL if trial.score is None else states.COMPLETE,
                )
            )
        return dict(study.ask(places).params)


def _distribution(optuna: Any, told: Range) -> Any:
    if told.is_whole:
        return optuna.distributions.IntDistribution(int(told.low), int(told.high), log=told.log)
    return optuna.distributions.FloatDistribution(told.low, told.high, log=told.log)


@dataclass(frozen=True)
class NoSearch(Component):
    """No search: each strategy runs once, at its own defaults."""

    group: ClassVar[str] = "tuning"

    def check(self) -> None:
        """See `Search.check`."""


def searched(space: Mapping[str, Any]) -> Options:
    """Return a strategy's space as a search needs it: ranges, without the defaults.

    A range of whole numbers keeps a whole `default` (its `low`), by which it is known as whole.
    """
    found = {}
    for name, told in space.items():
        whole = Range(**told).is_whole
        kept = {key: told[key] for key in ("low", "high", "log") if key in told}
        found[name] = {**kept, **({"default": told["low"]} if whole else {})}
    return found
