"""The Python interface, without Hydra: components built by hand, one cell at a time; verdicts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfergrid.evidence.curves.assembly import curves_of
from transfergrid.evidence.declared.judged import Bench, bench_of
from transfergrid.evidence.leaderboard import leaderboards
from transfergrid.evidence.measured.selecting import Where
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records import shipped
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.factory import config_of, locate
from transfergrid.records.identity import read_labels, read_seed
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.report.running.closing import rows_of
from transfergrid.report.views.leaderboard import as_rows as as_leaderboard_rows
from transfergrid.report.views.sides import SIDES, side
from transfergrid.report.views.verdict_table import as_rows
from transfergrid.runs.planning import forewarnings
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked, Option
from transfergrid.runs.planning.tuned import check_budgets

if TYPE_CHECKING:
    from transfergrid.data.domain import Domain
    from transfergrid.evidence.curves.results import Curve, NoCurve
    from transfergrid.records.training import Training
    from transfergrid.runs.machine import Machine
    from transfergrid.runs.tuning.searches import Search
    from transfergrid.sources.source import Source
    from transfergrid.strategies.base import Strategy


def run(
    source: Source,
    strategy: Strategy,
    target: Domain,
    *,
    labels: int | str = 20,
    seed: int = 0,
    training: Training | None = None,
    tuning: Search | None = None,
    results: str | Path = "results",
    machine: Machine | None = None,
    names: dict[str, str] | None = None,
) -> Record:
    """Run a cell and the baseline of its gain, and return the cell's record.

    A cell that is done already is read, not run again. Components built here and equal ones
    composed by Hydra give the same cells.

    Args:
        source: where the knowledge comes from.
        strategy: how the knowledge is transferred; the object you pass is only a description and is
            not trained.
        target: the target domain and task.
        labels: 0, a number per class, or `"all"`.
        seed: the seed of the seed block.
        training: the training that all arms share; by default that of `conf/training/default.yaml`.
        tuning: how settings are searched inside the cell and its baseline, by their validation
            parts; by default each strategy's own settings are used.
        results: the ledger's folder.
        machine: the device to run on; by default one CPU thread or the GPU.
        names: display names of `source`, `strategy` and `target`.

    Raises:
        BadInputError: the cell is impossible; the message says why.
    """
    from transfergrid.records.training import Training
    from transfergrid.runs.cell import run_cell
    from transfergrid.runs.machine import Machine

    parts = {"source": source, "strategy": strategy, "target": target}
    options = {kind: _option(part, (names or {}).get(kind)) for kind, part in parts.items()}
    asked = Asked(
        sources=[options["source"]],
        strategies=[options["strategy"]],
        targets=[options["target"]],
        trainings=[_option(training or Training())],
        labels=[read_labels(labels)],
        seeds=[read_seed(seed)],
    )
    if tuning is not None:
        tuning.check()
        asked.tunings = [_option(tuning, type(tuning).__name__.removesuffix("Search").lower())]
        check_budgets(asked.tunings)
    target.check()
    source.check()
    plan = Planner(_baseline).plan(asked)
    for line in forewarnings.lines(plan.cells):
        warnings.warn(line, stacklevel=2)
    ledger = Ledger(results)
    ledger.check_writable()
    done = ledger.done(cell.id for cell in plan.cells)
    for cell in plan.cells:
        if cell.id not in done:
            run_cell(cell, ledger, machine or Machine())
    (wanted,) = plan.wanted
    return ledger.read(wanted)


def table(results: str | Path = "results") -> list[Verdict]:
    """Return the rows of the table of gains, in points.

    Raises:
        BadInputError: there is no ledger in this folder.
    """
    return rows_of(bench_of(Ledger(results)))[0]


def verdicts(
    results: str | Path = "results", *, over: str | None = None, where: str = ""
) -> list[Verdict]:
    """Return the verdicts of a ledger, as declared there, in points; the look is recorded.

    For foreign results see `transfergrid.evidence.foreign.verdicts`.

    Args:
        results: the ledger's folder.
        over: an exploratory baseline that replaces the primary one.
        where: selects arms, as in "target=digits labels=2,20"; see `selecting`.

    Raises:
        BadInputError: there is no ledger in this folder, or nothing is selected.
    """
    return _judged(results, over, where)[1]


def verdict_rows(
    results: str | Path = "results",
    *,
    show: str = "verdicts",
    over: str | None = None,
    where: str = "",
) -> list[dict[str, Any]]:
    """Return verdicts, or a side view of them, as plain rows: `pandas.DataFrame(rows)`.

    The rows are those of `transfergrid verdicts --show ... --format json`; the look is recorded.

    Args:
        results: the ledger's folder.
        show: "verdicts", with the fields of `Verdict`; "flips": verdicts that change over another
            baseline, without flagged runs or for this test set; "classes" or "groups": the gains
            within them; "beside": calibration, overfitting and forgetting; "sources": the
            contribution of each of several sources; "tasks": the gain of each task that was learned
            beside others; "forgetting": the score of each link of a chain after each later link; or
            another view of `transfergrid verdicts --show`.
        over: an exploratory baseline that replaces the primary one.
        where: selects arms, as in "target=digits labels=2,20"; see `selecting`.

    Raises:
        BadInputError: there is no ledger in this folder, no such view, or nothing is selected.
    """
    check_known("show", show, ("verdicts", *SIDES))
    bench, found = _judged(results, over, where)
    if show == "verdicts":
        return as_rows(found)
    return [dict(row) for row in side(show, bench, found, bench.rules, over).rows()]


def leaderboard_rows(
    results: str | Path = "results", *, over: str | None = None, where: str = ""
) -> list[dict[str, Any]]:
    """Return a plain row for each arm on each target: score, gain, verdict, rank and mean rank.

    The rows are those of `transfergrid table --leaderboard --format json`; the look is recorded.

    Args:
        results: the ledger's folder.
        over: an exploratory baseline that replaces the primary one.
        where: selects arms, as in "target=digits labels=2,20"; see `selecting`.

    Raises:
        BadInputError: there is no ledger in this folder, or nothing is selected.
    """
    bench, found = _judged(results, over, where)
    return as_leaderboard_rows(leaderboards(found, bench.results, bench.outcomes))


def curves(
    results: str | Path = "results", *, over: str | None = None, where: str = ""
) -> tuple[list[Curve], list[NoCurve]]:
    """Return the transfer curves over target labels, and the arms that have no curve.

    The look is recorded.

    Args:
        results: the ledger's folder.
        over: an exploratory baseline that replaces the primary one.
        where: selects arms, as in "target=digits strategy!=source_only"; see `selecting`.

    Raises:
        BadInputError: there is no ledger in this folder, or nothing is selected.
    """
    bench = bench_of(Ledger(results))
    curves, without = curves_of(bench, over=over, where=Where.parse(where))
    shown = {cell for curve in curves for cell in curve.cells}
    bench.note_gains(shown, "api", over)
    return curves, without


def _judged(results: str | Path, over: str | None, where: str) -> tuple[Bench, list[Verdict]]:
    """Return a ledger's bench and verdicts, and record the look."""
    asked = Where.parse(where)
    bench = bench_of(Ledger(results)).of_runs(asked)
    found = bench.verdicts(over, where=asked.of_arms())
    bench.note_look(found, "api")
    return bench, found


def _option(component: Any, name: str | None = None) -> Option:
    """Return a component as an option; by default it is named after its module."""
    called = name or type(component).__module__.rpartition(".")[2]
    return Option(called, config_of(component), frozenset(_given(component)))


def _given(component: Any, path: str = "") -> Iterator[str]:
    """Yield the arguments that the caller gave to a strategy and to strategies inside it."""
    for key in getattr(component, "given", ()):
        yield f"{path}{key}"
        yield from _given(component.hparams[key], f"{path}{key}.")


def _baseline(name: str) -> Option:
    """Return a shipped strategy with its defaults."""
    target = shipped.strategies().get(name)
    if target is None:
        raise BadInputError(
            f"the baseline {name!r} is no shipped strategy: run such a cell from the command line"
        )
    return _option(locate(target)())
