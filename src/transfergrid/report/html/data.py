"""The input of the report; the page depends on this and on nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from markupsafe import Markup

from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.several.affinity import Pair
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.cell import Labels
from transfergrid.report.tables.columns import Table
from transfergrid.report.wording.names import without_common
from transfergrid.report.wording.words import Told

Points = tuple[float | None, ...]
Place = tuple[str, Labels]
"""A target and a label budget."""


@dataclass(frozen=True)
class Section:
    """A section of the page, present only if there is evidence; its template has text and place.

    Args:
        name: the key of the section, one word.
        tables: the tables; a table's title is its caption.
        lines: the conclusions from the tables, one sentence each.
        notes: the meaning of letters in the tables, one line each.
        most_open: the largest number of lines of a table that is not folded.
        first: the number of lines shown of a folded table.
        pictures: the drawings above the tables.
        chart: the kind of charts that the page's script draws there.
    """

    name: str
    tables: tuple[Table[Any], ...] = ()
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    most_open: int = 12
    first: int = 0
    pictures: tuple[Markup, ...] = ()
    chart: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All data that the report shows."""

    verdicts: tuple[Verdict, ...]
    """The verdicts over each arm's primary baseline; a row's number on the page is its index
    here."""
    over_baselines: Mapping[str, tuple[Verdict, ...]] = field(default_factory=dict)
    """The verdicts over each exploratory baseline, by its name."""
    rules: Rules = field(default_factory=Rules)
    title: str = ""
    """The title; by default the question, with the targets' names."""
    lower_is_better: frozenset[str] = frozenset()
    """The metrics for which less is better."""
    cells: Mapping[str, Result] = field(default_factory=dict)
    """The cells by id, so that numbers can be traced to them."""
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The config of each part by digest, as dotted keys and plain values."""
    sections: tuple[Section, ...] = ()
    """The sections on flips, crossovers, scorecard and so on, in order."""
    steps: tuple[tuple[int, Points, Points, Points], ...] = ()
    """Each with the number of a row, training steps, and the mean validation scores of arm and
    baseline there."""
    scores: tuple[tuple[int, str, float], ...] = ()
    """Each with the number of a row, the name of a transferability score, and its value (more is
    better)."""
    further: tuple[Verdict, ...] = ()
    """Further verdicts that sections show: on the contribution of each of several sources, and on
    the tasks of sources."""
    pairs: tuple[Pair, ...] = ()
    """The gain of each of two tasks that were learned together."""
    remarks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Remarks by row number in addition to its notes, such as the likely cause."""
    failed: tuple[Told, ...] = ()
    skipped: tuple[Told, ...] = ()
    declaration: tuple[str, ...] = ()
    """The declaration, its hash, and the looks taken, one line each."""
    made: tuple[str, ...] = ()
    """The origin of the report: ledger, commit, versions, one line each."""

    @cached_property
    def _named(self) -> tuple[dict[str, str], tuple[str, ...]]:
        shown = chain(self.verdicts, *self.over_baselines.values())
        return without_common(verdict.source for verdict in shown if verdict.source)

    @property
    def called(self) -> Mapping[str, str]:
        """The names of sources in charts: without the overrides that all share."""
        return self._named[0]

    @property
    def margin(self) -> str:
        """δ in points, followed by targets with another margin."""
        usual = self.rules.margin
        by_target = {v.target: v.margin / v.point for v in self.verdicts}
        own = ", ".join(
            f"{target} {margin:.3g}"
            for target, margin in by_target.items()
            if not math.isclose(margin, usual, rel_tol=0.01)  # rounded in regression
        )
        return f"{usual:g} ({own})" if own else f"{usual:g}"

    @property
    def common(self) -> str:
        """A line with the overrides that all sources share; empty if there are none."""
        return f"All sources: {', '.join(self._named[1])}." if self._named[1] else ""

    def at(self, place: Place) -> list[tuple[int, Verdict]]:
        """Return the verdicts of a target and label budget, with their row numbers."""
        rows = enumerate(self.verdicts)
        return [(row, v) for row, v in rows if (v.target, v.labels) == place]
