"""What the report is made from; the page is a function of this and of nothing else."""

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
from transfergrid.report.columns import Table
from transfergrid.report.names import without_common
from transfergrid.report.words import Told

Points = tuple[float | None, ...]
Place = tuple[str, Labels]
"""A target and a label budget."""


@dataclass(frozen=True)
class Section:
    """A section that is there only where its evidence is; its template words and places it.

    Args:
        name: a word.
        tables: the numbers; a table's title is its caption.
        lines: what the tables come to, a sentence each.
        notes: what letters in the tables mean, a line each.
        most_open: lines from which on a table is folded.
        first: lines of a folded table that are shown nevertheless.
        pictures: what is drawn above the tables.
        chart: the kind of those that the page's script draws there.
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
    """Everything that the report shows."""

    verdicts: tuple[Verdict, ...]
    """Over each arm's primary baseline; a row's number on the page is its place here."""
    over_baselines: Mapping[str, tuple[Verdict, ...]] = field(default_factory=dict)
    """Over each exploratory baseline, by its name."""
    rules: Rules = field(default_factory=Rules)
    title: str = ""
    """By default the question, with the targets' names."""
    lower_is_better: frozenset[str] = frozenset()
    """Metrics of which less is better."""
    cells: Mapping[str, Result] = field(default_factory=dict)
    """By identity, so that a number can be followed to them."""
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By digest, each part's config as dotted keys and plain values."""
    sections: tuple[Section, ...] = ()
    """Flips, crossovers, scorecard and so on, in order."""
    steps: tuple[tuple[int, Points, Points, Points], ...] = ()
    """Number of a row, training steps, and the mean validation scores of arm and baseline there."""
    scores: tuple[tuple[int, str, float], ...] = ()
    """Number of a row, name of a transferability score, and its value (more is better)."""
    further: tuple[Verdict, ...] = ()
    """Verdicts that sections show beside those on arms: what each of several sources adds, and
    those on tasks of sources."""
    pairs: tuple[Pair, ...] = ()
    """What each of two tasks gained that were learned at once."""
    remarks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """By number of the row, what is said of it beyond its notes, such as the likely cause."""
    failed: tuple[Told, ...] = ()
    skipped: tuple[Told, ...] = ()
    declaration: tuple[str, ...] = ()
    """What was declared beforehand and its hash, and which looks were taken, a line each."""
    made: tuple[str, ...] = ()
    """Where it came from: ledger, commit, versions, a line each."""

    @cached_property
    def _named(self) -> tuple[dict[str, str], tuple[str, ...]]:
        shown = chain(self.verdicts, *self.over_baselines.values())
        return without_common(verdict.source for verdict in shown if verdict.source)

    @property
    def called(self) -> Mapping[str, str]:
        """What sources are called in charts: their names less the overrides that all bear."""
        return self._named[0]

    @property
    def margin(self) -> str:
        """δ in points, with that of targets that have another one by name."""
        usual = self.rules.margin
        by_target = {v.target: v.margin / v.point for v in self.verdicts}
        own = ", ".join(
            f"{target} {margin:.3g}"
            for target, margin in by_target.items()
            if not math.isclose(margin, usual, rel_tol=0.01)  # of numbers it is rounded
        )
        return f"{usual:g} ({own})" if own else f"{usual:g}"

    @property
    def common(self) -> str:
        """What all sources share, as a line; empty if that is nothing."""
        return f"All sources: {', '.join(self._named[1])}." if self._named[1] else ""

    def at(self, place: Place) -> list[tuple[int, Verdict]]:
        """Return the verdicts of a target and label budget, with their rows."""
        rows = enumerate(self.verdicts)
        return [(row, v) for row, v in rows if (v.target, v.labels) == place]
