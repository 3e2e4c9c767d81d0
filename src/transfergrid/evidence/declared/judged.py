"""The verdicts of a ledger: as its grids declared them, and charged for earlier looks."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from transfergrid.evidence.declared import looks
from transfergrid.evidence.declared.declarations import (
    Comparisons,
    Declaration,
    by_family,
    comparisons,
    grids_of,
    newest,
    plans_by_family,
)
from transfergrid.evidence.measured.comparisons import by_group
from transfergrid.evidence.measured.comparisons import over as over_baseline
from transfergrid.evidence.measured.measuring import measure
from transfergrid.evidence.measured.outcomes import Outcomes
from transfergrid.evidence.measured.remarks import by_arm
from transfergrid.evidence.measured.results import Cell, Result, result_of, results_of
from transfergrid.evidence.measured.selecting import Where
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.families import (
    Family,
    Levels,
    RulesOf,
    Seen,
    Shares,
    families_of,
    seen_in,
    seen_of,
    shares_in,
)
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.ledgers.ledger import Ledger, without_garbage_collection
from transfergrid.records.record import Record


@dataclass
class Bench:
    """The results of a ledger, as its grids declared their comparisons."""

    ledger: Ledger
    results: list[Result]
    outcomes: Outcomes
    failures: list[Record]
    declaration: Declaration
    """What was declared last; the defaults where no grid declares anything. Families of earlier
    grids go by `declarations`."""
    declared: bool
    """Whether any grid declared something."""
    earlier: list[looks.Look]
    """The looks that were taken before."""
    declarations: dict[str, Declaration] = field(default_factory=dict)
    """Of each family, as `looks.named` spells it, by the last grid that asked for its cells."""
    to_come: int = 0
    """Cells that a grid asked for and of which nothing is there yet."""
    plans: dict[str, looks.Plan] = field(default_factory=dict)
    """The seeds declared for each family before it was looked at."""
    asked: Mapping[str, Comparisons] = field(default_factory=dict)
    """What each cell is compared with, as the grid says that asked for it last."""
    failed_anew: list[Record] = field(default_factory=list)
    """What failed as it was run anew: no failures of their arms, for the earlier records count."""

    @cached_property
    def records(self) -> dict[str, Record]:
        """The whole records of the results by identity, as declared, for what results leave out."""
        meant = {result.id for result in self.results}
        with without_garbage_collection():
            found = (record for record in self.ledger.records() if record.id in meant)
            return {record.id: record for record in as_declared(found, self.asked)}

    def declaration_of(self, family: Family) -> Declaration:
        """Return what a family's verdicts were declared to be decided by."""
        return self.declarations.get(looks.named(family), self.declaration)

    def rules(self, family: Family) -> Rules:
        """Return what a family is decided by."""
        target = self._names.get(family.target_part)
        return self.declaration_of(family).rules_on(target)

    @cached_property
    def _names(self) -> dict[str, str]:
        """What targets are called, by the digests of their parts."""
        return {result.parts.target: result.names.target for result in self.results}

    def rules_but(self, **other: Any) -> RulesOf:
        """Return what gives each family its rules, some of them replaced by others."""
        return lambda family: replace(self.rules(family), **other)

    def of_runs(self, where: Where) -> Bench:
        """Return it less the runs that do not meet the conditions on single runs.

        Raises:
            BadInputError: none is meant.
        """
        return replace(self, results=where.of_runs().rows(self.results))

    def of_cells(self, cells: Container[str]) -> Bench:
        """Return it less the cells, done or failed, that are not meant; what was declared stays."""
        results = [result for result in self.results if result.id in cells]
        failures = [record for record in self.failures if record.id in cells]
        anew = [record for record in self.failed_anew if record.id in cells]
        return replace(self, results=results, failures=failures, failed_anew=anew)

    def verdicts(
        self,
        over: str | None = None,
        rules: RulesOf | None = None,
        where: Where | None = None,
        *,
        ahead: bool = True,
    ) -> list[Verdict]:
        """Judge all arms against their primary baselines, or the exploratory one of this name.

        Of the verdicts those are returned that are meant; they are corrected beside all others, for
        a family does not shrink by looking at a part of it. Conditions on runs leave runs out.
        Whether they tell more than what they are and their gains is `ahead`: see `judge`.

        Raises:
            BadInputError: no cell names such a baseline, or none is meant.
        """
        where = where or Where()
        verdicts = judge(
            where.of_runs().rows(self._over(over)),
            rules or self.rules,
            read=self.outcomes,
            failures=map(result_of, self.failures),
            levels=self.levels(rules),
            primary=over is None,
            ahead=ahead,
        )
        return where.of_arms().rows(verdicts)

    def arms(self, over: str | None = None) -> list[Verdict]:
        """Return all arms, be they compared with anything, with nothing decided: table of gains.

        Raises:
            BadInputError: no cell names such a baseline.
        """
        failures, told = map(result_of, self.failures), by_arm(self.results)
        return measure(self._over(over), read=self.outcomes, failures=failures, remarks=told)

    def arms_by_group(self, over: str | None = None) -> list[Verdict]:
        """Return the same within each group of test items, group by group.

        Raises:
            BadInputError: no cell names such a baseline, or no target has groups.
        """
        told = by_arm(self.results)
        return [
            replace(row, group=name)
            for name, inside, read in by_group(self._over(over), self.outcomes)
            for row in measure(inside, read=read, remarks=told)
        ]

    def _over(self, name: str | None) -> list[Result]:
        return over_baseline(self.results, name) if name else self.results

    def levels(self, rules: RulesOf | None = None) -> Levels:
        """Return what gives each family its error now, by default as declared."""
        rules_of = rules or self.rules
        return looks.levels(self.earlier, lambda family: rules_of(family).alpha, self.plans)

    def note_look(self, verdicts: list[Verdict], by: str) -> None:
        """Write down that these verdicts were shown; nothing where results cannot be written."""
        shares = {looks.named(f): of for f, of in shares_in(verdicts).items()}
        self._note({looks.named(f): shown for f, shown in seen_in(verdicts).items()}, by, shares)

    def note_gains(self, cells: Container[str], by: str, over: str | None = None) -> None:
        """Write down that the gains of these cells were shown, be it without verdicts."""
        results = [result for result in self._over(over) if result.id in cells]
        shown = seen_of(results)
        self._note({looks.named(family): seeds for family, seeds in shown.items()}, by)

    def _note(
        self, seen: dict[str, Seen], by: str, shares: Mapping[str, Shares] | None = None
    ) -> None:
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        look = looks.Look(at, by, seen, self.declaration.plain(), shares or {})
        try:
            looks.keep(self.ledger, look)
        except OSError as error:
            self.ledger.warn(f"this look was not written down: {error.strerror or error}")
            self.earlier = [*self.earlier, look]  # and counts all the same


@without_garbage_collection()
def bench_of(ledger: Ledger, cells: Container[str] | None = None) -> Bench:
    """Open a ledger for judging, or some of its cells.

    Raises:
        BadInputError: there is no ledger here.
    """
    results, outcomes = results_of(ledger)
    grids = grids_of(ledger)
    told = comparisons(grids)
    is_meant = partial(_is_meant, cells)
    if cells is not None:
        results = [one for one in results if one.id in cells]
    results = as_declared(results, told)
    failures = as_declared((one for one in ledger.failures() if is_meant(one.id)), told)
    declaration, earlier = newest(grids), looks.looks(ledger)
    families = families_of(results)
    there = {result.id for result in results} | {record.id for record in failures}
    asked = set().union(*(grid["cells"] for grid in grids))
    return Bench(
        ledger,
        results,
        outcomes,
        failures,
        declaration or Declaration(),
        declaration is not None,
        earlier,
        by_family(grids, families),
        sum(map(is_meant, asked - there)),
        plans_by_family(grids, families, earlier),
        told,
        [one for one in ledger.failed_anew() if is_meant(one.id)],
    )


def _is_meant(cells: Container[str] | None, identity: str) -> bool:
    return cells is None or identity in cells


def as_declared(cells: Iterable[Cell], told: Mapping[str, Comparisons]) -> list[Cell]:
    """Return cells as compared by the grid that asked for each last; see `comparisons`."""
    return [_declared(cell, told.get(cell.id)) for cell in cells]


def _declared(cell: Cell, told: Comparisons | None) -> Cell:
    if told is None:
        return cell
    own = cell.flags.contaminated_by
    seen = own if told.contaminated_by is None else told.contaminated_by
    if seen == own and _are_alike(cell, told):
        return cell
    flags = replace(cell.flags, contaminated_by=seen)
    return replace(cell, flags=flags, baseline=told.baseline, exploratory=told.exploratory)


def _are_alike(cell: Cell, told: Comparisons) -> bool:
    """Return whether a cell names what a grid says, told quicker than by the references' `==`."""
    one, other = cell.baseline, told.baseline
    if one is None or other is None:
        if one is not other:
            return False
    elif one.id != other.id or one.name != other.name:
        return False
    if len(cell.exploratory) != len(told.exploratory):
        return False
    for ours, theirs in zip(cell.exploratory, told.exploratory, strict=True):
        if ours.id != theirs.id or ours.name != theirs.name:
            return False
    return True
