"""The search behind `hydra/sweeper=optuna`: trials are ordinary cells, judged by validation score.

A trial runs on all typed seeds, label budgets and targets, and its score is the mean of their
validation scores. Test scores are not read. Cells get no baselines unless `baselines=all` is typed:
the best of many settings gains over a baseline with one setting by the selection alone. So gains
are for a later grid with the chosen setting and its baselines.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from transfergrid.records.errors import BadInputError
from transfergrid.records.files.whole import whole_number
from transfergrid.records.printing import complain, say, told_os
from transfergrid.runs.planning.plan import Asked
from transfergrid.verbs.asking import ask, obeyed, request_of
from transfergrid.verbs.configs.composing import Composer
from transfergrid.verbs.configs.searched_space import Words, split

if TYPE_CHECKING:
    from transfergrid.records.cell import Cell
    from transfergrid.records.ledgers.ledger import Ledger
    from transfergrid.runs.launching.grids import Checked
    from transfergrid.runs.launching.processes import Pool
    from transfergrid.runs.launching.tally import Outcome
    from transfergrid.runs.planning.grid import Planner
    from transfergrid.runs.tuning import studies

FOLDER = "searches"
"""The subfolder of a ledger with its searches, each an Optuna journal."""


def search(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    config: DictConfig,
    loader: ConfigLoader,
    how: Mapping[str, Any],
) -> int:
    """Run the requested search and return the exit code; see `asking.sweep`.

    Args:
        arguments: the overrides as typed.
        params: a study's params: by key, values or a sweep expression.
        config: the config composed by Hydra.
        loader: Hydra's config loader.
        how: the settings `trials`, `sampler` and `seed`.
    """
    try:
        words = split(arguments, params, loader)
        _check(config, how)
        made = Search(words, how, loader)
        return obeyed(words.of(made.first), words.params, config, loader, made.run)
    except BadInputError as error:
        complain(error)
        return 2
    except OSError as error:
        complain(told_os(error))
        return 2


def _check(config: DictConfig, how: Mapping[str, Any]) -> None:
    """Raise `BadInputError` if the settings do not allow a search."""
    from transfergrid.runs.tuning.studies import check_sampler

    check_sampler(str(how["sampler"]))
    for key, least in (("trials", 1), ("seed", 0)):
        number = whole_number(how[key])
        if number is None or number < least:
            raise BadInputError(f"hydra.sweeper.{key}={how[key]}: give a whole number from {least}")
    if config.debug:
        raise BadInputError("debug=true runs one cell: a search takes all of its cells")
    if config.keep != "none":
        raise BadInputError(
            f"keep={config.keep}: a search keeps no weights; run what it chose with "
            f"keep={config.keep}"
        )


@dataclass
class _Open:
    """A trial that is running."""

    asked: studies.Asked
    cells: list[Cell]
    """The cells over which its score is averaged."""
    left: set[str]
    """The ids of those of its cells that are neither done nor failed."""
    failed: str | None = None


@dataclass
class Search:
    """The state of one search.

    Args:
        words: the search space, and the words that are fixed.
        how: the settings `trials`, `sampler` and `seed`.
        loader: Hydra's config loader.
    """

    words: Words
    how: Mapping[str, Any]
    loader: ConfigLoader
    trials: int = field(init=False)
    _open: list[_Open] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trials = int(self.how["trials"])

    @property
    def first(self) -> dict[str, str]:
        """The first setting of the search space."""
        return {key: told.ends[0] for key, told in self.words.space.items()}

    def run(self, asked: Asked, composer: Composer, pool: Pool, config: DictConfig) -> int:
        """Run trials until there are enough and return the exit code.

        Raises:
            BadInputError: trials could not be judged, or a part cannot be used.
        """
        if not pool.settings.launcher.is_local:
            raise BadInputError("hydra/sweeper=optuna runs on hydra/launcher=local, and no other")
        from transfergrid.records.factory import build
        from transfergrid.records.ledgers.claims import now_held
        from transfergrid.records.tracking.sending import sending
        from transfergrid.verbs.sweep import make_plan

        self._composer, self._pool, self._config = composer, pool, config
        self._compared = "baselines=all" in config.hydra.overrides.task
        everything = self._everything(asked)
        plan = make_plan(everything, composer, [], compared=False)
        self._check_judged(plan.cells, everything)
        self._study = self._begun(plan.cells, everything)
        self._study.go_on(lambda cells: bool(now_held(pool.ledger.root, cells)))
        before = self._study.count
        if before:
            say(f"{before} of {self.trials} trials were there before", flush=True)
        with sending(build(pool.settings.tracking), pool.ledger.root):
            outcome = self._carried_out()
        return self._closed(outcome)

    # Before it begins ----------------------------------------------------------------------------

    def _everything(self, asked: Asked) -> Asked:
        """Return a request with all choices and the ends of all ranges, so that all are checked."""
        parts = [asked]
        for key, told in self.words.space.items():
            for value in told.ends[1:]:
                parts.append(self._asked({**self.first, key: value}))
        axes = ("sources", "strategies", "targets", "trainings", "tunings")
        found = {
            axis: [*dict.fromkeys(o for p in parts for o in getattr(p, axis))] for axis in axes
        }
        return replace(asked, **found)

    def _asked(self, values: Mapping[str, str]) -> Asked:
        request = request_of(self.words.of(values), self.words.params, self._config, self.loader)
        return ask(request, self._composer)

    def _check_judged(self, cells: Sequence[Cell], asked: Asked) -> None:
        """Raise `BadInputError` if a cell has no validation score, or targets differ in metric."""
        from transfergrid.records.factory import build
        from transfergrid.records.keeping import can_be_chosen

        without = [cell for cell in cells if not can_be_chosen(cell)]
        if without:
            raise BadInputError(
                "hydra/sweeper=optuna judges by validation scores, and no label validates in "
                f"{without[0].label}"
            )
        self._metrics = sorted({build(target.config).metric for target in asked.targets})
        if len(self._metrics) > 1:
            raise BadInputError(
                f"hydra/sweeper=optuna takes one mean over targets, and theirs are of "
                f"{' and '.join(self._metrics)}: give target.metric=... or search one by one"
            )

    def _begun(self, cells: Sequence[Cell], asked: Asked) -> studies.Study:
        """Return the Optuna study of these words, new or continued, named by a digest."""
        from transfergrid.records.identity import digest
        from transfergrid.records.metrics import METRICS
        from transfergrid.runs.tuning.studies import Study

        space = {key: repr(told) for key, told in sorted(self.words.space.items())}
        content = [sorted(cell.id for cell in cells), space, self._compared]
        name = digest(content)
        file = self._pool.ledger.root / FOLDER / f"{name}.journal"
        maximise = METRICS[self._metrics[0]].higher_is_better
        sampler, seed = str(self.how["sampler"]), int(self.how["seed"])
        return Study(file, name, self.words.space, maximise, sampler, seed)

    # While it runs -------------------------------------------------------------------------------

    def _carried_out(self) -> Outcome:
        from transfergrid.runs.launching.grids import run_grid
        from transfergrid.runs.launching.tally import Outcome

        first = self._more()
        if not first:
            return Outcome()
        per_trial = max((len(one.left) for one in self._open), default=1)
        coming = max(0, self.trials - self._study.count) * per_trial
        return run_grid(
            first,
            self._pool,
            checked=self._checked,
            ended=self._ended,
            more=self._more,
            coming=coming,
        )

    def _more(self) -> list[Cell]:
        """Return the cells of further trials, enough to occupy all workers."""
        cells: list[Cell] = []
        while self._study.count < self.trials and self._running() < self._pool.settings.workers:
            cells += self._next()
        return cells

    def _running(self) -> int:
        return len({name for one in self._open for name in one.left})

    def _next(self) -> list[Cell]:
        """Begin a trial and return those of its cells that are neither done nor running."""
        asked = self._study.ask()
        try:
            cells, wanted = self._cells(asked)
        except BadInputError as error:
            self._study.fail(asked, str(error))
            return []
        self._study.begin(asked, [cell.id for cell in wanted])
        running = {name for one in self._open for name in one.left}
        done = self._pool.ledger.done(cell.id for cell in cells)
        left = [cell for cell in cells if cell.id not in done]
        self._open.append(_Open(asked, wanted, {cell.id for cell in left}))
        self._close()
        return [cell for cell in left if cell.id not in running]

    def _cells(self, asked: studies.Asked) -> tuple[list[Cell], list[Cell]]:
        """Return all cells of a trial, and those over which its score is averaged.

        Raises:
            BadInputError: one of them is impossible.
        """
        from transfergrid.runs.planning.grid import Planner

        library = lambda name: self._composer.option("strategy", name)  # noqa: E731
        planner: Planner = Planner(library, [], self._compared)
        plan = planner.plan(self._asked(asked.values))
        if plan.skipped:
            raise BadInputError(plan.skipped[0].reason)
        study = self._pool.settings.study
        cells = [replace(cell, study=study) for cell in plan.cells]
        return cells, [cell for cell in cells if cell.id in plan.wanted]

    def _checked(self, found: Checked) -> None:
        """Mark trials as failed whose cells the first worker found to be impossible."""
        for one in self._open:
            for name in one.left & found.impossible.keys():
                one.failed = found.impossible[name]
                one.left.discard(name)
        self._close()

    def _ended(self, cell: Cell, to_go: float | None) -> None:
        """Update the trials after a cell is done or failed."""
        for one in self._open:
            if cell.id in one.left:
                one.left.discard(cell.id)
                wanted = cell.id in {other.id for other in one.cells}
                if wanted and not self._pool.ledger.is_done(cell.id):
                    one.failed = f"{cell.label} failed"
        self._close()

    def _close(self) -> None:
        """Report trials to Optuna whose cells have all finished."""
        for one in [one for one in self._open if not one.left]:
            self._open.remove(one)
            try:
                if one.failed:
                    raise BadInputError(one.failed)
                score = statistics.fmean(_validation(self._pool.ledger, c) for c in one.cells)
            except BadInputError as error:
                self._study.fail(one.asked, str(error))
            else:
                self._study.tell(one.asked, score)

    # The end -------------------------------------------------------------------------------------

    def _closed(self, outcome: Outcome) -> int:
        from transfergrid.report.wording.words import plural

        with suppress(OSError):
            self._pool.ledger.compact()
        told = self._study.told
        for trial in told:
            if trial.score is None:
                say(f"trial {trial.number} has no score: {trial.reason}")
        best = self._study.best
        if best is not None and best.score is not None:
            self._say(best, len(told))
        if outcome.interrupted:
            say(
                f"stopped: {plural(max(0, self.trials - len(told)), 'trial')} left; the same "
                "command goes on from here"
            )
            return 130
        return 1 if any(trial.score is None for trial in told) else 0

    def _say(self, best: studies.Told, count: int) -> None:
        from transfergrid.records.points import points
        from transfergrid.records.record import Metric

        metric = self._metrics[0]
        scale = points(Metric(name=metric))
        unit = " %" if scale > 1 else ""
        say(
            f"best of {count} by validation {metric}: {scale * (best.score or 0):.4g}{unit}, trial "
            f"{best.number}: {shlex.join(f'{k}={v}' for k, v in best.values.items())}"
        )
        words = shlex.join(word.lstrip("+") for word in self.words.of(best.values))
        say(f"with its baselines, best on seeds that chose nothing: transfergrid {words}")


def _validation(ledger: Ledger, cell: Cell) -> float:
    """Return the validation score of a done cell.

    Raises:
        BadInputError: the cell has no validation score.
    """
    record = ledger.read(cell.id)
    score = (record.scores.validation or {}).get(record.metric.name)
    if score is None:
        raise BadInputError(f"nothing validates in {cell.label}")
    return float(score)
