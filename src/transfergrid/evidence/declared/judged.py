"""The verdicts of a ledger: decided as its grids declared, and charged for earlier looks."""

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
    """The results of a ledger, with their comparisons as its grids declared them."""

    ledger: Ledger
    results: list[Result]
    outcomes: Outcomes
    failures: list[Record]
    declaration: Declaration
    """The newest declaration; the defaults if no grid declares anything. Families of earlier grids
    use `declarations`."""
    declared: bool
    """Whether any grid has a declaration."""
    earlier: list[looks.Look]
    """The earlier looks at this ledger."""
    declarations: dict[str, Declaration] = field(default_factory=dict)
    """The declaration of each family (by the key of `looks.named`), from the last grid that
    requested its cells."""
    to_come: int = 0
    """Number of cells that a grid requested and that have neither a result nor a failure yet."""
    plans: dict[str, looks.Plan] = field(default_factory=dict)
    """The seeds declared for each family before it was looked at."""
    asked: Mapping[str, Comparisons] = field(default_factory=dict)
    """The baselines of each cell, from the grid that requested the cell last."""
    failed_anew: list[Record] = field(default_factory=list)
    """Failures of cells that were run again. They do not count as failures of their arms, as the
    earlier records are still valid."""

    @cached_property
    def records(self) -> dict[str, Record]:
        """The complete records of the results by id, as declared; results leave out some fields."""
        meant = {result.id for result in self.results}
        with without_garbage_collection():
            found = (record for record in self.ledger.records() if record.id in meant)
            return {record.id: record for record in as_declared(found, self.asked)}

    def declaration_of(self, family: Family) -> Declaration:
        """Return the declaration that applies to a family's verdicts."""
        return self.declarations.get(looks.named(family), self.declaration)

    def rules(self, family: Family) -> Rules:
        """Return the rules that decide a family."""
        target = self._names.get(family.target_part)
        return self.declaration_of(family).rules_on(target)

    @cached_property
    def _names(self) -> dict[str, str]:
        """The names of the targets, by the digests of their parts."""
        return {result.parts.target: result.names.target for result in self.results}

    def rules_but(self, **other: Any) -> RulesOf:
        """Return a function that returns each family's rules, with some parameters replaced."""
        return lambda family: replace(self.rules(family), **other)

    def of_runs(self, where: Where) -> Bench:
        """Return the bench without the runs that do not meet the conditions on single runs.

        Raises:
            BadInputError: no run meets them.
        """
        return replace(self, results=where.of_runs().rows(self.results))

    def of_cells(self, cells: Container[str]) -> Bench:
        """Return the bench with these cells only, done or failed; declarations stay the same."""
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
        """Return the verdicts on all arms against their primary baseline, or the one named `over`.

        `where` selects the verdicts that are returned. They are corrected together with all others,
        for a family does not shrink when only a part of it is shown. Conditions on runs do leave
        runs out. `ahead` adds more than the verdicts and their gains: see `judge`.

        Raises:
            BadInputError: no cell names such a baseline, or nothing meets the conditions.
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
        """Return all arms with nothing decided, with or without a baseline: the table of gains.

        Raises:
            BadInputError: no cell names such a baseline.
        """
        failures, told = map(result_of, self.failures), by_arm(self.results)
        return measure(self._over(over), read=self.outcomes, failures=failures, remarks=told)

    def arms_by_group(self, over: str | None = None) -> list[Verdict]:
        """Return the table of gains within each group of test items, group by group.

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
        """Return the function that gives each family's error rate now, by default as declared."""
        rules_of = rules or self.rules
        return looks.levels(self.earlier, lambda family: rules_of(family).alpha, self.plans)

    def note_look(self, verdicts: list[Verdict], by: str) -> None:
        """Record that these verdicts were shown; only in memory if the ledger is not writable."""
        shares = {looks.named(f): of for f, of in shares_in(verdicts).items()}
        self._note({looks.named(f): shown for f, shown in seen_in(verdicts).items()}, by, shares)

    def note_gains(self, cells: Container[str], by: str, over: str | None = None) -> None:
        """Record that the gains of these cells were shown, even if without verdicts."""
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
            self.earlier = [*self.earlier, look]  # it still counts in this process


@without_garbage_collection()
def bench_of(ledger: Ledger, cells: Container[str] | None = None) -> Bench:
    """Return the bench of a ledger, or of some of its cells, for judging.

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
    """Return the cells, compared as the last grid that requested each says; see `comparisons`."""
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
    """Return whether cell and grid name the same baselines; faster than `==` of references."""
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
