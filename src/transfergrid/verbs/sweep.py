"""From a request to the closing table: plan the grid, run missing cells, show the gains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transfergrid.evidence.declared import declarations
from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.records.cell import PROTOCOL, Cell
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.factory import Config, build
from transfergrid.records.keeping import Keeper
from transfergrid.records.ledgers import again
from transfergrid.records.ledgers.indexing import Indexing
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.needs import AT
from transfergrid.records.printing import say
from transfergrid.records.process import interrupts
from transfergrid.records.provenance import now
from transfergrid.records.tracking import agents
from transfergrid.records.tracking.sending import sending
from transfergrid.report.exports.verdict_run import Judged, report_verdicts
from transfergrid.report.running import kept
from transfergrid.report.running.closing import show_grid
from transfergrid.report.running.coming import Coming
from transfergrid.report.wording import names
from transfergrid.report.wording.words import plural
from transfergrid.runs.launching.grids import Checked, run_grid, run_here
from transfergrid.runs.launching.processes import Pool
from transfergrid.runs.launching.progress import told_if_slow
from transfergrid.runs.launching.settings import Settings
from transfergrid.runs.launching.tally import Outcome
from transfergrid.runs.planning import contamination, forewarnings, warm_starts
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked, Plan, left_of, place_of
from transfergrid.runs.planning.tuned import check_budgets, check_searched, unsearched, untuned
from transfergrid.verbs import sweep_agent
from transfergrid.verbs.configs.composing import Composer
from transfergrid.verbs.rerunning import Rerun

BASELINES = ("all", "none")
"""The values of the key `baselines`."""


@dataclass
class Ready:
    """A planned grid, and how much of it is done."""

    plan: Plan
    cells: list[Cell]
    done: set[str]
    keeper: Keeper
    declared: Declaration | None
    """The declaration for its verdicts; None for a grid without baselines."""
    again: set[str] = field(default_factory=set)
    """Cells that have a record and are run again."""

    def leave_out(self, impossible: Mapping[str, str]) -> None:
        """Remove cells that turned out to be impossible, with the reason for each.

        Raises:
            BadInputError: no requested cell remains.
        """
        self.plan = self.plan.without(impossible)
        self.cells = left_of(self.cells, impossible)


def run(asked: Asked, composer: Composer, pool: Pool, config: DictConfig) -> int:
    """Run the requested grid and return the exit code; see `asking.sweep`.

    Raises:
        BadInputError: a part cannot be used, or no requested cell is possible.
    """
    check_budgets(asked.tunings)
    agent, tracker = agents.taken(), build(pool.settings.tracking)
    ready = get_ready(asked, composer, pool, config)
    wanted = [cell for cell in ready.cells if cell.id in ready.plan.wanted]
    sweep_agent.check(agent, wanted)
    with sending(tracker, pool.ledger.root):
        code = _debug(ready, pool) if config.debug else _run(ready, pool)
        if agent is not None and code != interrupts.EXIT_CODE:
            sweep_agent.tell(agent, tracker, pool.ledger, wanted)
    return code


def _run(ready: Ready, pool: Pool) -> int:
    coming = Coming(pool.ledger, ready.cells, place_of, ready.done)
    outcome = carry_out(ready, pool, coming if ready.declared else None)
    if outcome.detached:
        return exit_code(outcome)
    if outcome.left < len(ready.cells):  # else no cell was started, and there is nothing to show
        _close(ready, outcome, pool)
    kept.say(kept.ended(ready.keeper))
    return exit_code(outcome)


def get_ready(
    asked: Asked,
    composer: Composer,
    pool: Pool,
    config: DictConfig,
    part: Callable[[Plan], Plan] = lambda plan: plan,
) -> Ready:
    """Plan the requested grid, or a part of it, and find the cells that are done.

    Raises:
        BadInputError: a part cannot be used, or no requested cell is possible.
    """
    declared = declare(config, asked)
    ledger, settings = pool.ledger, pool.settings
    compared = compared_in(config)
    made = make_plan(asked, composer, references_in(config), compared, ledger, remember=True)
    plan = part(made)
    for line in warnings_of(plan, asked):
        say(line, flush=True)
    cells = [replace(cell, study=settings.study, grid=plan.id) for cell in plan.cells]
    anew = Rerun(str(config.rerun)).among(cells, ledger)
    done = ledger.done(cell.id for cell in cells) - anew
    keeper = Keeper(ledger, settings.keep, cells)
    keeper.begin(done)
    return Ready(plan, cells, done, keeper, declared if compared else None, anew)


def warnings_of(plan: Plan, asked: Asked) -> list[str]:
    """Return warnings about a grid or about conclusions from it, one line each."""
    forewarned = forewarnings.lines(plan.cells)
    tuned = [*untuned(asked.tunings, plan.cells), *unsearched(plan.cells)]
    return [*forewarned, *tuned, *warm_starts.lines(plan.cells, asked.tunings)]


def carry_out(ready: Ready, pool: Pool, coming: Coming | None = None) -> Outcome:
    """Run the cells that are not done, and announce first what will be run.

    Args:
        ready: the grid; impossible cells are removed from it.
        pool: the worker pool that runs it.
        coming: shows verdicts while the grid is running.

    Raises:
        BadInputError: a part cannot be built as requested.
    """
    ledger, keeper = pool.ledger, ready.keeper
    left = [cell for cell in ready.cells if cell.id not in ready.done]
    labels, common = names.of_cells(left)

    def checked(found: Checked) -> None:
        ready.leave_out(found.impossible)
        if coming is not None:
            coming.leave_out(found.impossible)
        cells = ready.cells
        marked = contamination.marks(cells)
        asks = _grid(ready.plan, cells, pool.settings, marked, ready.declared)
        ledger.write_document("grids", asks)
        anew = ready.again & {cell.id for cell in cells}
        again.mark(ledger.root, anew)
        _announce(ready.plan, cells, ready.done, len(anew))
        for line in (*_not_taken(ledger), *common, *contamination.warnings(cells, marked)):
            say(line, flush=True)
        there = [cell for cell in left if cell.id not in found.impossible]
        kept.say(kept.planned(keeper, there, ready.done, found.sizes))

    indexing = Indexing(ledger, len(ready.done))

    def ended(cell: Cell, to_go: float | None) -> None:
        indexing.count()
        if coming is not None:
            coming.ended(cell, to_go)

    outcome = run_grid(left, pool, len(ready.done), checked, keeper, labels, ended)
    indexing.index()
    return outcome


def exit_code(outcome: Outcome) -> int:
    """Return the exit code for an outcome; after an interrupt, say how to continue."""
    if outcome.interrupted:
        say(f"stopped: {plural(outcome.left, 'cell')} left; the same command goes on from here")
        return interrupts.EXIT_CODE
    return outcome.exit_code


def _close(ready: Ready, outcome: Outcome, pool: Pool) -> None:
    """Show the results of a grid, and send its verdicts to the tracker."""
    plan, declared, ledger, settings = ready.plan, ready.declared, pool.ledger, pool.settings
    left_out = [(skipped.label, skipped.reason) for skipped in plan.skipped]
    ids, whole = {cell.id for cell in ready.cells}, not outcome.left
    verdicts = show_grid(ledger, ids, left_out, whole, declared is not None)
    if whole and declared is not None:
        grid = Judged(
            id=plan.id,
            study=settings.study,
            declaration=declared.digest,
            cells=len(ready.cells),
            failed=outcome.failed,
        )
        report_verdicts(verdicts, settings.tracking, ledger, grid)


def declare(config: DictConfig, asked: Asked) -> Declaration:
    """Return this grid's declaration for its verdicts.

    Raises:
        BadInputError: a key or value of `verdict` makes no sense.
    """
    told = OmegaConf.to_container(config.verdict, resolve=True)
    assert isinstance(told, dict)
    for key in told:
        check_known("key of verdict", str(key), declarations.KEYS)
    for target in told.get("margins") or {}:
        check_known("target in verdict.margins", str(target), _targets(config, asked))
    primary = {option.name: option.baselines for option in asked.strategies}
    try:
        return Declaration(
            **{str(key): value for key, value in told.items() if (key, value) != ("margins", None)},
            baselines={name: [b.labelled, b.unlabelled] for name, b in sorted(primary.items())},
            seeds=tuple(sorted(asked.seeds)),
            sources=tuple(sorted({option.name for option in asked.sources})),
            strategies=tuple(sorted(primary)),
            targets=tuple(sorted({option.name for option in asked.targets})),
            labels=tuple(sorted(map(str, asked.labels))),
        )
    except TypeError as error:  # not a number
        raise BadInputError(f"verdict: {error}") from None


def _targets(config: DictConfig, asked: Asked) -> list[str]:
    """Return the targets of a grid, and those of its study, of which it may be a part."""
    study = str((config.hydra.sweeper.get("params") or {}).get("target") or "")
    named = [name.strip() for name in study.split(",") if name.strip()]
    return list(dict.fromkeys([*(target.name for target in asked.targets), *named]))


def make_plan(
    asked: Asked,
    composer: Composer,
    references: Sequence[str],
    compared: bool = True,
    ledger: Ledger | None = None,
    remember: bool = False,
) -> Plan:
    """Check the parts and plan the grid, with baselines if it is `compared`.

    Searches may be warm-started from the `ledger`; with `remember`, what they use is stored there.

    Raises:
        BadInputError: a part cannot be used, or no requested cell is possible.
    """
    library: Callable[[str], Any] = lambda name: composer.option("strategy", name)  # noqa: E731
    planner = Planner(library, references, compared, ledger)
    for training in asked.trainings:
        build(training.config)
    check_searched(asked.tunings, asked.strategies)
    for tuning in filter(None, asked.tunings):
        build(tuning.config).check()
    for target in asked.targets:
        with told_if_slow(f"reading target {target.name}"):
            planner.fitting.classes(target.config)
    for source in asked.sources:
        with told_if_slow(f"checking source {source.name}"):
            build(source.config).check()
    beside = compared_with(asked) if compared else []
    composer.compose_together({"strategy": [*references, *beside]})
    plan = planner.plan(asked)
    for warm in planner.warm.values() if remember else ():
        warm.remember()
    return plan


def compared_with(asked: Asked) -> list[str]:
    """Return the names of all baselines that the strategies declare."""
    told = [strategy.baselines for strategy in asked.strategies]
    names = [(one.labelled, one.unlabelled, *one.exploratory) for one in told]
    return [name.partition(AT)[0] for each in names for name in each if name]


def references_in(config: DictConfig) -> list[str]:
    """Return the names of the arms that need no source.

    Raises:
        BadInputError: the key `references` is not a list of names.
    """
    names = OmegaConf.to_container(config)["references"]  # type: ignore[index, call-overload]
    if not isinstance(names, list):
        raise BadInputError(f"references={names}: give a list, such as [majority] or []")
    return [str(name) for name in names]


def compared_in(config: DictConfig) -> bool:
    """Return whether cells are compared with their baselines.

    Raises:
        BadInputError: the key `baselines` has another value than these.
    """
    if config.baselines not in BASELINES:
        raise BadInputError(f"baselines={config.baselines}: give {' or '.join(BASELINES)}")
    return bool(config.baselines == BASELINES[0])


def _grid(
    plan: Plan,
    cells: Sequence[Cell],
    settings: Settings,
    marked: Mapping[str, tuple[str, ...]],
    declared: Declaration | None,
) -> Config:
    """Return the document of a request for the ledger; without baselines, no declaration."""
    return {
        "id": plan.id,
        "study": settings.study,
        "asked": now(),
        "declaration": declared and asdict(declared),
        "compared": declared is not None,
        "cells": {
            cell.id: {
                "baseline": cell.baseline and asdict(cell.baseline),
                "exploratory": [asdict(other) for other in cell.exploratory],
                "contaminated_by": marked.get(cell.id, ()),
            }
            for cell in cells
        },
        "wanted": sorted(plan.wanted),
        "left_out": [{"cell": skipped.label, "reason": skipped.reason} for skipped in plan.skipped],
    }


def _announce(plan: Plan, cells: Sequence[Cell], done: set[str], anew: int) -> None:
    added, left_out = len(cells) - len(plan.wanted), len(plan.skipped)
    words = [f"{plural(len(plan.wanted), 'cell')} asked for"]
    if added:
        words.append(f"{added} more to compare with")
    if left_out:
        words.append(f"{plural(left_out, 'combination')} left out")
    words.append(f"{len(done) or 'none'} done before")
    if anew:
        words.append(f"{anew} run anew")
    say("; ".join(words), flush=True)


def _not_taken(ledger: Ledger) -> list[str]:
    """Return a note on the cells of each earlier protocol, none of which counts as done."""
    there = [number for (number,) in ledger.columns(("protocol",))] if ledger.exists() else []
    older = Counter(number for number in there if number < PROTOCOL)
    return [
        f"{plural(count, 'cell')} of protocol {protocol} in '{ledger.root}', not taken for done"
        for protocol, count in sorted(older.items())
    ]


def _debug(ready: Ready, pool: Pool) -> int:
    cells = ready.cells
    cell = next(cell for cell in cells if cell.id in ready.plan.wanted)
    others = f"; {plural(len(cells) - 1, 'other cell')} of the grid not run"
    say(f"debug: {cell.label}, alone and in this process{others}", flush=True)
    again.mark(pool.ledger.root, ready.again & {cell.id})
    run_here(cell, pool.ledger, pool.settings, ready.keeper)
    show_grid(pool.ledger, {cell.id}, [])
    return 0
