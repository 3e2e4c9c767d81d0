"""Which settings a cell tries, by number: each is a function of seed block and trials before it.

So a search goes on where it was stopped, more trials begin with the same ones, and arms of one seed
block draw the same places in what they search. Imports no torch.
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
"""One of so many of Optuna's trials is drawn at random, before it begins to learn from them."""


@dataclass(frozen=True)
class Search(Component, ABC):
    """How the settings of a strategy are looked for, with the same trials for all arms.

    Args:
        trials: how many settings each arm tries, for the full number of steps each.
        space: what is searched, by the strategy's argument: `low`, `high`, `log` and `default` as
            in the strategy's own YAML. Planning fills it from there; what is given here wins.
        only: of the space, what is searched; the rest keeps its defaults. None for all of it.
        seed: of what is drawn, the same settings then in all seed blocks; None for each block's.
        held_out: labels a class (of numbers, in all) that judge the trials although no strategy
            is given them, of a development target; None for the cell's validation part.
        warm_start: "defaults": the first trial is what the strategy is without a search; "ledger":
            the first trials are what was best on other targets, of the same strategy, by their
            validation parts. The others are those of a search without it.
        first: what these trials are: `values`, and the `cell` and `target` that they come from,
            where they do. Planning fills it.

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
        """What is searched, by the strategy's argument."""
        return {name: Range(**told) for name, told in self.space.items()}

    def begin(self, number: int) -> Mapping[str, Any] | None:
        """Return what a trial begins with, from 0; None where it is searched."""
        first = self.first or ()
        return first[number] if number < len(first) else None

    def check(self) -> None:
        """Raise `BadInputError` if it cannot be done here."""

    @abstractmethod
    def values(self, number: int, seed: int, before: Sequence[Trial], maximise: bool) -> Values:
        """Return the setting of a trial.

        Args:
            number: of the trial, from 0.
            seed: of the seed block.
            before: the trials so far.
            maximise: whether higher scores are better.
        """


class RandomSearch(Search):
    """Independent draws, even over each range or over its logarithm."""

    @override
    def values(self, number: int, seed: int, before: Sequence[Trial], maximise: bool) -> Values:
        return {
            name: told.at(generator(seed, "tuning", name, number).random())
            for name, told in self.ranges.items()
        }


class GridSearch(Search):
    """Points that lie evenly, ends included.

    Of several ranges so many points each that together there are enough, and of these as many as
    there are trials, in the seed block's order.
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
        """Return the smallest whole grid of as many points as there are trials, if there is one."""
        ranges, each, points = self.ranges, 1, list[Values]()
        while len(points) < self.trials:
            axes = [dict.fromkeys(_even(told, each)) for told in ranges.values()]
            found = [dict(zip(ranges, point, strict=True)) for point in product(*axes)]
            if each > self.trials and len(found) == len(points):
                break  # whole numbers, of which there are no more
            points, each = found, each + 1
        return points


def _even(told: Range, n: int) -> list[float]:
    """Return n values from end to end; the middle for one."""
    if n == 1:
        return [told.at(0.5)]
    return [told.at(place / (n - 1)) for place in range(n)]


class OptunaSearch(Search):
    """What Optuna's sampler (a tree-structured Parzen estimator) asks for, told of all before."""

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
    """Each strategy's own defaults, once."""

    group: ClassVar[str] = "tuning"

    def check(self) -> None:
        """See `Search.check`."""


def searched(space: Mapping[str, Any]) -> Options:
    """Return what a search must know of a strategy's space; defaults are not searched."""
    found = {}
    for name, told in space.items():
        whole = Range(**told).is_whole
        kept = {key: told[key] for key in ("low", "high", "log") if key in told}
        found[name] = {**kept, **({"default": told["low"]} if whole else {})}
    return found
