"""The verdicts of a ledger: as its grids declared them, and charged for earlier looks."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from transfergrid.evidence import looks
from transfergrid.evidence.comparisons import over as over_baseline
from transfergrid.evidence.decisions import Rules
from transfergrid.evidence.declarations import (
    Comparisons,
    Declaration,
    comparisons,
    newest,
    seeds_by_family,
)
from transfergrid.evidence.judging import Code, Levels, families_of, family_of, judge
from transfergrid.evidence.outcomes import Outcomes
from transfergrid.evidence.results import Result, result_of, results_of
from transfergrid.evidence.verdicts import Verdict
from transfergrid.ledger import Ledger, without_garbage_collection
from transfergrid.record import Record
from transfergrid.selecting import Where

Cell = TypeVar("Cell", Result, Record)


@dataclass
class Bench:
    """The results of a ledger, as its grids declared their comparisons."""

    ledger: Ledger
    results: list[Result]
    outcomes: Outcomes
    failures: list[Record]
    declaration: Declaration
    """What was declared last; the defaults where no grid declares anything."""
    declared: bool
    """Whether any grid declared something."""
    earlier: list[looks.Look]
    """The looks that were taken before."""
    seeds: dict[str, int]
    """Seeds declared for each family before it was looked at."""

    def verdicts(
        self,
        over: str | None = None,
        rules: Rules | None = None,
        code: Code | None = None,
        where: Where | None = None,
    ) -> list[Verdict]:
        """Judge all arms against their primary baselines, or the exploratory one of this name.

        Of the verdicts those are returned that are meant; they are corrected beside all others, for
        a family does not shrink by looking at a part of it. Conditions on runs leave runs out.

        Raises:
            BadInputError: no cell names such a baseline, or none is meant.
        """
        where = where or Where()
        results = over_baseline(self.results, over) if over else self.results
        results = where.of_runs().rows(results)
        rules = rules or self.declaration.rules
        verdicts = judge(
            results,
            rules,
            read=self.outcomes,
            failures=[result_of(record) for record in self.failures],
            code=code,
            levels=self.levels(rules.alpha),
            primary=over is None,
        )
        return where.of_arms().rows(verdicts)

    def levels(self, alpha: float) -> Levels:
        """Return what gives each family its error now."""
        return looks.levels(self.earlier, alpha, self.seeds, self.declaration.max_seeds)

    def note_look(self, verdicts: list[Verdict], by: str) -> None:
        """Write down that these verdicts were shown; nothing where results cannot be written."""
        seen: dict[str, int] = {}
        for verdict in verdicts:
            if verdict.n > 1:
                name = looks.named(family_of(verdict))
                seen[name] = max(verdict.n, seen.get(name, 0))
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        look = looks.Look(at, by, seen, self.declaration.plain())
        try:
            looks.keep(self.ledger, look)
        except OSError as error:
            self.ledger.warnings.append(f"this look was not written down: {error}")


def bench_of(ledger: Ledger, cells: Container[str] | None = None) -> Bench:
    """Open a ledger for judging, or some of its cells.

    Raises:
        BadInputError: there is no ledger here.
    """
    with without_garbage_collection():
        results, outcomes = results_of(ledger)
        grids = ledger.documents("grids")
        told = comparisons(grids)
    meant = partial(_meant, cells)
    results = [declared(result, told.get(result.id)) for result in results if meant(result)]
    failures = ledger.failures()
    failures = [declared(record, told.get(record.id)) for record in failures if meant(record)]
    declaration, earlier = newest(grids), looks.looks(ledger)
    seeds = seeds_by_family(grids, families_of(results), earlier)
    given = declaration or Declaration()
    return Bench(
        ledger, results, outcomes, failures, given, declaration is not None, earlier, seeds
    )


def _meant(cells: Container[str] | None, cell: Result | Record) -> bool:
    return cells is None or cell.id in cells


def declared(cell: Cell, told: Comparisons | None) -> Cell:
    """Return a cell as compared by the grid that asked for it last."""
    if told is None:
        return cell
    seen = cell.flags.contaminated_by if told.contaminated_by is None else told.contaminated_by
    own = Comparisons(cell.baseline, cell.exploratory, cell.flags.contaminated_by)
    if own == (told.baseline, told.exploratory, seen):
        return cell
    flags = replace(cell.flags, contaminated_by=seen)
    return replace(cell, flags=flags, baseline=told.baseline, exploratory=told.exploratory)
