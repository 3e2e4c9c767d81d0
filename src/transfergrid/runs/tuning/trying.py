"""Runs a cell's trials one after another and leaves the best trial's strategy, or a blend of all.

A trial chooses its step as every run does. Between trials the score on the validation part (or the
held-out labels, or a rule) decides; of equals the earliest wins. The test split is out of reach.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfergrid.data.task import better
from transfergrid.records import selection
from transfergrid.records.factory import build
from transfergrid.records.metrics import METRICS
from transfergrid.records.process.telling import tell
from transfergrid.records.record import Path, Trial, Tuning
from transfergrid.records.selection import LOWER, Look, Selection
from transfergrid.runs.curve import Fit, Log, logged
from transfergrid.runs.driver import Driver
from transfergrid.runs.memory import bytes_of, free_cycles
from transfergrid.runs.predictions import predictions
from transfergrid.runs.stages import Setup, Tuned
from transfergrid.runs.standing import standing
from transfergrid.runs.starting import attach
from transfergrid.runs.tuning.searches import Values
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Data, Phase
from transfergrid.strategies.trials import Member

Drive = Callable[[Strategy, Log], Driver]
"""Makes the driver that trains a strategy on the cell's data."""


@dataclass
class Best:
    """The best trial so far, with its trained strategy."""

    number: int
    fitted: Fit
    strategy: Strategy
    backbone: Backbone | None


class Trials:
    """The trials of one cell.

    Args:
        setup: the cell's parts before training; at the end it holds the chosen strategy.
        tuned: what the trials need.
        metric: decides between trials, as it does between steps.
        drive: makes the driver that trains a strategy.
        log: receives the curves of the chosen trial.
        progress: plain values and tensors of the trials that ended, updated after each; another
            process that is given them resumes with the next trial.
    """

    def __init__(
        self,
        setup: Setup,
        tuned: Tuned,
        metric: str,
        drive: Drive,
        log: Log,
        progress: dict[str, Any] | None = None,
    ) -> None:
        self.setup, self.tuned, self.search = setup, tuned, tuned.search
        self.metric, self.drive, self.log = metric, drive, log
        self.rule = setup.selecting.rule if setup.selecting and setup.judges is None else None
        """The rule that compares trials where no label does; None: the metric compares them."""
        self.seed = setup.strategy.block_seed
        self.drawn_by = self.seed if self.search.seed is None else self.search.seed
        self.progress = {} if progress is None else progress
        self.ended: list[Trial] = []
        self.best: Best | None = None
        self.states: dict[int, dict[str, Tensor]] = {}
        """The trained weights of each trial, by number, for a strategy that blends trials."""
        self.looks = 0
        """How often trials have scored the validation part."""

    def run(self) -> Fit:
        """Run the remaining trials and leave the chosen strategy in the setup, in eval mode.

        Raises:
            FloatingPointError: every trial diverged.
        """
        self._restore()
        while len(self.ended) < self.search.count:
            tell(f"trial {len(self.ended) + 1} of {self.search.count}")
            values = self._next()
            try:
                self._try(values)
            except FloatingPointError as error:
                self.ended.append(self._noted(Trial(values=values, reason=str(error))))
            free_cycles(bytes_of(self.setup.strategy.parameters()))
            self._note()
        return self._chosen()

    def _next(self) -> Values:
        """Return the setting of the next trial."""
        begun, first = self.search.begin(len(self.ended)), len(self.search.first or ())
        if begun is not None:
            return dict(begun["values"])
        more = (
            METRICS[self.metric].higher_is_better if self.rule is None else self.rule not in LOWER
        )
        return self.search.values(len(self.ended) - first, self.drawn_by, self.ended, more)

    def _noted(self, trial: Trial) -> Trial:
        """Return the current trial with the cell and target that its warm start comes from."""
        begun = self.search.begin(len(self.ended)) or {}
        return replace(trial, cell=begun.get("cell"), target=begun.get("target"))

    def _try(self, values: Values) -> None:
        """Train with these values from the cell's start; keep the strategy if it is the best.

        Raises:
            FloatingPointError: it diverged.
        """
        strategy, backbone = self._attached(values)
        driver = self.drive(strategy, lambda values, step: None)
        fitted = driver.run()
        self.looks += fitted.validation_checks
        score = self._score(driver)
        if strategy.needs.trials:
            self.states[len(self.ended)] = strategy.kept_state()
        step = fitted.chosen_step
        self.ended.append(self._noted(Trial(values=values, score=score, step=step)))
        if self.best is None or self._is_better(score, self._best_score):
            self.best = Best(len(self.ended) - 1, fitted, strategy, backbone)

    def _attached(self, values: Values) -> tuple[Strategy, Backbone | None]:
        setup, begun = self.setup, copy.deepcopy(self.tuned.start)
        strategy: Strategy = build({**self.tuned.described, **values})
        attach(strategy, begun, setup.data, setup.strategy.training_plan, self.seed)
        return strategy, strategy.backbone if begun else None

    @property
    def _best_score(self) -> float:
        score = self.ended[self.best.number].score if self.best else None
        return math.nan if score is None else score

    def _is_better(self, one: float, other: float) -> bool:
        if self.rule is not None:
            return selection.better(self.rule, one, other)
        return better(self.metric, one, other)

    def _score(self, driver: Driver) -> float:
        """Return the trial's score: of a rule, or on the examples that score trials.

        Raises:
            FloatingPointError: it is not finite, or the rule is not defined at any look.
        """
        if self.rule is not None:
            return _of_rule(driver, self.rule)
        strategy, view = driver.strategy, self.setup.judges
        assert view is not None
        found = standing(strategy, strategy.all_phases(), driver.machine, (view,))
        said = predictions(strategy, view, driver.machine, found)
        value = strategy.task.score(self.metric, said, torch.from_numpy(view.labels))
        if not math.isfinite(value):
            raise FloatingPointError(f"{self.metric} is {value} on the validation part")
        return value

    def _chosen(self) -> Fit:
        if self.best is None:
            told = dict.fromkeys(str(trial.reason) for trial in self.ended)
            raise FloatingPointError(f"all {len(self.ended)} trials failed: {'; '.join(told)}")
        best, setup = self.best, self.setup
        members: tuple[int, ...] = ()
        if best.strategy.needs.trials:
            best, members = self._blended(best)
        setup.strategy, setup.backbone, setup.tuned = best.strategy, best.backbone, None
        for values, step in logged(best.fitted.curves, self.metric):
            self.log(values, step)
        searched = Tuning(trials=tuple(self.ended), chosen=best.number, members=members)
        return replace(best.fitted, validation_checks=self.looks, tuning=searched)

    def _blended(self, best: Best) -> tuple[Best, tuple[int, ...]]:
        """Return the best trial with a strategy blended from the trials, and which were used."""
        strategy, backbone = self._attached(self.ended[best.number].values)
        driver = self.drive(strategy, lambda values, step: None)
        members = [Member(n, self._signed(self.ended[n].score), s) for n, s in self.states.items()]
        found: list[int] = []

        def blend(data: Data) -> None:
            found.extend(strategy.blend(members, partial(self._judged, driver), data))

        driver.prepare(Phase("blend", before=blend), 0)
        strategy.eval()
        return replace(best, strategy=strategy, backbone=backbone), tuple(found)

    def _judged(self, driver: Driver) -> float:
        """Return the signed score of a strategy in its present state; -inf if it has none."""
        self.looks += 1
        try:
            return self._signed(self._score(driver))
        except FloatingPointError:
            return -math.inf

    def _signed(self, score: float | None) -> float:
        """Return a score with the sign for which higher is better."""
        assert score is not None
        return score if METRICS[self.metric].higher_is_better else -score

    # Resuming ------------------------------------------------------------------------------------

    def _note(self) -> None:
        """Fill `progress` with what another process needs to resume with the next trial."""
        best = self.best
        self.progress |= {
            "trials": [asdict(trial) for trial in self.ended],
            "looks": self.looks,
            "best": best and {"number": best.number, "fitted": _plain(best.fitted)},
            "strategy": dict(best.strategy.state_dict()) if best else {},
            "states": [[number, dict(state)] for number, state in self.states.items()],
        }

    def _restore(self) -> None:
        """Resume from `progress`, if there is any: of the same trials of an equal cell."""
        told = self.progress
        if not told:
            return
        self.ended = [Trial(**trial) for trial in told["trials"]]
        self.looks, self.states = told["looks"], dict(told["states"])
        if told["best"]:
            number = told["best"]["number"]
            strategy, backbone = self._attached(self.ended[number].values)
            strategy.load_state_dict(dict(told["strategy"]))
            strategy.eval()
            self.best = Best(number, _fit(told["best"]["fitted"]), strategy, backbone)


def _of_rule(driver: Driver, rule: str) -> float:
    """Return the value of a rule at the step that it chose."""
    best = driver.choice.best
    if best is None:
        raise FloatingPointError(f"{rule} is not defined at any look")
    return best.value


def _plain(fitted: Fit) -> dict[str, Any]:
    curves = {name: values.tolist() for name, values in fitted.curves.items()}
    kept = ("steps", "chosen_step", "chosen_by", "validation_checks")
    return {
        **{name: getattr(fitted, name) for name in kept},
        "taken": dict(fitted.taken),
        "paths": [asdict(path) for path in fitted.paths],
        "curves": curves,
        "selection": fitted.selection and asdict(fitted.selection),
    }


def _fit(plain: Mapping[str, Any]) -> Fit:
    curves = {name: np.array(values) for name, values in plain["curves"].items()}
    paths = tuple(Path(**path) for path in plain["paths"])
    taken, told = Counter(plain["taken"]), plain.get("selection")
    looks = tuple(Look(**look) for look in told["looks"]) if told else ()
    selected = Selection(**{**told, "looks": looks}) if told else None
    read = {"taken": taken, "curves": curves, "paths": paths, "selection": selected}
    return Fit(**{**plain, **read})
