"""A search over whole cells: Optuna proposes settings, and a journal on disk records the trials.

The journal is a file of JSON lines that many processes may write to. Opening it again continues the
same search. Imports no torch.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.seeds import stream_seed

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
}
"""Optuna's samplers, by the names that users type."""
DIGITS = 6
"""Significant digits of proposed numbers: more make no real difference and long names."""
CELLS, REASON, AGAIN = "cells", "reason", "again"
"""Attributes of a trial: its cells, why it has no score, the number of the trial it repeats."""


@dataclass(frozen=True)
class Dimension:
    """The values that Optuna may propose for one key.

    Args:
        low: the least number.
        high: the greatest number.
        log: whether the logarithm is searched evenly.
        whole: whether only whole numbers are proposed.
        step: step between whole numbers; None: 1.
        choices: values as they are typed, instead of numbers.
    """

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    step: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[str, ...]:
        """All choices, or the two ends of the range, as they are typed."""
        return self.choices or tuple(self.written(number) for number in (self.low, self.high))

    def written(self, value: Any) -> str:
        """Return a value as a user would type it."""
        if self.choices:
            return str(value)
        if self.whole:
            return str(int(value))
        return repr(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))


@dataclass(frozen=True)
class Asked:
    """One trial that is to be run: its number and its values, as they are typed."""

    number: int
    values: dict[str, str]


@dataclass(frozen=True)
class Told:
    """One trial that is over.

    Attributes:
        number: the trial's number, from 0.
        values: its values, as they are typed.
        score: the mean validation score; None if it has none.
        reason: why it has no score.
    """

    number: int
    values: dict[str, str]
    score: float | None
    reason: str | None


class Study:
    """One search.

    Args:
        file: the journal.
        name: name of the search in the journal; the same name continues the same search.
        space: the values that may be proposed, by key.
        maximise: whether higher scores are better.
        sampler: one of `SAMPLERS`.
        seed: seed of the sampler.

    Raises:
        BadInputError: there is no such sampler, or Optuna or what the sampler needs is missing.
    """

    def __init__(
        self,
        file: Path,
        name: str,
        space: Mapping[str, Dimension],
        maximise: bool = True,
        sampler: str = "tpe",
        seed: int = 0,
    ) -> None:
        check_sampler(sampler)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self.space = optuna, dict(space)
        self._places = {key: _distribution(optuna, told) for key, told in space.items()}
        self._open: dict[int, Any] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        backend = optuna.storages.journal.JournalFileBackend(str(file))
        self._study = optuna.create_study(
            study_name=name,
            storage=optuna.storages.JournalStorage(backend),
            direction="maximize" if maximise else "minimize",
            load_if_exists=True,
        )
        drawn = stream_seed(seed, "search", len(self._study.get_trials(deepcopy=False)))
        self._study.sampler = _sampler(optuna, sampler, drawn % 2**32)

    @property
    def count(self) -> int:
        """How many trials have ended or are running; a trial and its repetition count once."""
        return len(self._counted())

    @property
    def told(self) -> list[Told]:
        """The trials that are over."""
        states = self._optuna.trial.TrialState
        return [
            Told(t.number, self._typed(t.params), t.value, t.user_attrs.get(REASON))
            for t in self._counted()
            if t.state in (states.COMPLETE, states.FAIL)
        ]

    @property
    def best(self) -> Told | None:
        """The trial with the best score, the earliest of equals; None while none has a score."""
        scored = [told for told in self.told if told.score is not None]
        sign = 1 if self._study.direction.name == "MAXIMIZE" else -1
        return max(
            scored, key=lambda told: (sign * (told.score or 0.0), -told.number), default=None
        )

    def go_on(self, is_alive: Callable[[Sequence[str]], bool]) -> None:
        """Enqueue the running trials whose process has died, so that they are run again.

        Args:
            is_alive: whether some process runs any of these cells, given by identity.
        """
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(deepcopy=False, states=[states.RUNNING]):
            if not is_alive(trial.user_attrs.get(CELLS, [])):
                self._study.tell(trial.number, state=states.FAIL)
                self._study.enqueue_trial(trial.params, user_attrs={AGAIN: trial.number})

    def ask(self) -> Asked:
        """Return the next trial."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some samplers are experimental
            trial = self._study.ask(self._places)
        self._open[trial.number] = trial
        return Asked(trial.number, self._typed(trial.params))

    def begin(self, asked: Asked, cells: Sequence[str]) -> None:
        """Record the cells of a trial, by identity."""
        self._open[asked.number].set_user_attr(CELLS, list(cells))

    def tell(self, asked: Asked, score: float) -> None:
        """Record the score of a trial."""
        self._study.tell(self._open.pop(asked.number), score)

    def fail(self, asked: Asked, reason: str) -> None:
        """Record that a trial has no score, and why."""
        trial = self._open.pop(asked.number)
        trial.set_user_attr(REASON, reason)
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def _counted(self) -> list[Any]:
        states = self._optuna.trial.TrialState
        trials = self._study.get_trials(deepcopy=False)
        repeated = {trial.user_attrs.get(AGAIN) for trial in trials}
        return [t for t in trials if t.number not in repeated and t.state != states.WAITING]

    def _typed(self, params: Mapping[str, Any]) -> dict[str, str]:
        return {key: told.written(params[key]) for key, told in self.space.items()}


def check_sampler(name: str) -> None:
    """Raise `BadInputError` unless there is such a sampler and what it needs is installed."""
    check_known("hydra.sweeper.sampler", name, [*SAMPLERS])
    lacking = [one for one in ("optuna", *(["cmaes"] * (name == "cmaes"))) if not _is_there(one)]
    if "optuna" in lacking:
        raise BadInputError("hydra/sweeper=optuna needs Optuna: pip install 'transfergrid[optuna]'")
    if lacking:
        raise BadInputError("hydra.sweeper.sampler=cmaes needs cmaes: pip install cmaes")


def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _sampler(optuna: Any, name: str, seed: int) -> Any:
    learns = {"constant_liar": True} if name == "tpe" else {}  # also reckons with running trials
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(optuna.samplers, SAMPLERS[name])(seed=seed, **learns)


def _distribution(optuna: Any, told: Dimension) -> Any:
    if told.choices:
        return optuna.distributions.CategoricalDistribution(told.choices)
    if told.whole:
        low, high = int(told.low), int(told.high)
        return optuna.distributions.IntDistribution(low, high, log=told.log, step=told.step or 1)
    return optuna.distributions.FloatDistribution(told.low, told.high, log=told.log)
