"""Sections beside the verdicts: each from its own evidence, and absent without it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from transfergrid.evidence.curves.measures import Axis
from transfergrid.evidence.curves.results import Curve
from transfergrid.evidence.measured.arms import labels_order
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.several.affinity import Pair
from transfergrid.evidence.several.source_shares import SourceShare
from transfergrid.evidence.side_effects import Change, SideEffects
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.robustness import Flip
from transfergrid.evidence.verdicts.verdict import PLACEBO, Verdict
from transfergrid.records.cell import Labels
from transfergrid.records.points import points
from transfergrid.report.html import columns
from transfergrid.report.html.data import Points, Section
from transfergrid.report.html.rows import NO_SOURCE
from transfergrid.report.tables.columns import Column
from transfergrid.report.views import source_view
from transfergrid.report.views import verdict_views as views
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording.curves_words import Writer
from transfergrid.report.wording.words import UNICODE, Letters, plural


@dataclass
class Beside:
    """The parts that the side views add to a report."""

    sections: list[Section] = field(default_factory=list)
    remarks: dict[int, list[str]] = field(default_factory=dict)
    """Remarks by row number."""
    steps: list[tuple[int, Points, Points, Points]] = field(default_factory=list)
    scores: list[tuple[int, str, float]] = field(default_factory=list)
    """`steps` and `scores` are as in `ReportData`."""

    shares: list[SourceShare] = field(default_factory=list)
    tasks: list[Verdict] = field(default_factory=list)
    """The verdicts on the tasks of sources."""
    pairs: list[Pair] = field(default_factory=list)

    def add(self, section: Section | None) -> None:
        """Add a section, if there is one."""
        if section is not None:
            self.sections.append(section)

    def remark(self, row: int, text: str) -> None:
        """Add a remark to a row."""
        self.remarks.setdefault(row, []).append(text)


def flipping(flips: Sequence[Flip]) -> Section | None:
    """Return the section on verdicts that flip, without placebos."""
    flips = [flip for flip in flips if flip.verdict.kind != PLACEBO]
    table = columns.limited(views.flip_columns(UNICODE), views.ways_of(flips))
    return Section("flips", (table,), (_ways(flips),)) if table.rows else None


def _ways(flips: Sequence[Flip]) -> str:
    """Return a sentence that counts the flips by their cause, the most frequent first."""
    found = Counter(way for flip in flips for way in flip.others)
    ways = ", ".join(f"{number} {way}" for way, number in found.most_common())
    several = "verdicts would be other ones" if len(flips) > 1 else "verdict would be another"
    return f"{len(flips)} {several}: {ways}."


def harmed(arms: Sequence[tuple[Verdict, Sequence[Verdict]]]) -> Section | None:
    """Return the section on classes that are shown to lose, given the gains in all classes.

    Placebos are left out, as they are meant to lose.
    """
    arms = [(verdict, inside) for verdict, inside in arms if verdict.kind != PLACEBO]
    if not arms:
        return None
    rows: list[Verdict] = []
    hidden = 0
    for verdict, inside in arms:
        hurt = [part for part in inside if part.verdict is Kind.NEGATIVE]
        hidden += bool(hurt) and verdict.verdict is not Kind.NEGATIVE
        rows += hurt
    wholes = {verdict.cells: verdict for verdict, _ in arms}
    whole: Column[Verdict] = views.outcome(lambda part: wholes[part.cells], "over all classes")
    table = columns.limited([*views.part_columns(UNICODE), whole], rows)
    hides = "hides" if hidden < 2 else "hide"
    told = (
        f"Of {plural(len(arms), 'comparison')} {hidden or 'none'} {hides} a harmed class behind a "
        "mean that is not shown to be harmed."
    )
    return Section("classes", (table,) if rows else (), (told,))


def extremes(inside: Sequence[Verdict]) -> str:
    """Return the classes with the smallest and the largest gain, given all sorted by gain."""
    worst, best = (f"{p.group}, {said.gain(p)} {said.interval(p)}" for p in (inside[0], inside[-1]))
    return f"Class that gains least: {worst}; most: {best}."


def several(shares: Sequence[SourceShare]) -> Section | None:
    """Return the section on the contribution of each of several sources; None if it was not run."""
    if not shares:
        return None
    table = columns.limited(source_view.share_columns(UNICODE), shares)
    return Section("sources", (table,), (source_view.counted(shares),))


def came_with(effects: Sequence[SideEffects]) -> Section | None:
    """Return the section on side effects; None if nothing is known."""
    known = [e for e in effects if e.calibration or e.overfitting or e.forgetting]
    if not known:
        return None
    table = columns.limited(views.beside_columns(known)(UNICODE), known)
    told = (
        _shown("calibration error", [e.calibration for e in known]),
        _shown("overfitting gap", [e.overfitting for e in known]),
        _shown("probe of the source's own classes", [e.forgetting for e in known]),
    )
    return Section("beside", (table,), tuple(filter(None, told)))


def _shown(name: str, changes: Sequence[Change | None]) -> str:
    """Return a sentence that counts the changes with an interval above, and below, zero."""
    known = [change for change in changes if change and change.change is not None]
    if not known:
        return ""
    above = sum(change.low is not None and change.low > 0 for change in known)
    below = sum(change.high is not None and change.high < 0 for change in known)
    return f"The {name} rose in {above} and fell in {below} of {plural(len(known), 'comparison')}."


def measured_against(results: Sequence[Result], verdicts: Sequence[Verdict]) -> Section | None:
    """Return the section on scores of arms without a source, for the places of the verdicts."""
    places = {(verdict.target, verdict.labels): verdict for verdict in verdicts}
    scores: defaultdict[tuple[str, Labels], defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for cell in results:
        place = (cell.names.target, cell.labels)
        if not cell.names.source and cell.score is not None and place in places:
            scores[place][cell.names.strategy].append(points(cell.metric) * cell.score)
    strategies = sorted({name for found in scores.values() for name in found})
    rows = [
        (
            *(place[0], str(place[1])),
            *(_mean_sd(scores[place].get(name, ()), places[place]) for name in strategies),
        )
        for place in sorted(scores, key=lambda place: (place[0], labels_order(place[1])))
    ]
    if not rows:
        return None
    return Section("references", (columns.written(("target", "labels", *strategies), rows),))


def _mean_sd(scores: Sequence[float], like: Verdict) -> str:
    """Return mean and sd of scores, with as many decimals as a verdict's."""
    if not scores:
        return ""
    sd = f" ± {columns.value(statistics.stdev(scores), like)}" if len(scores) > 1 else ""
    return f"{columns.value(statistics.fmean(scores), like)}{sd} (n = {len(scores)})"


def crossing(curves: Sequence[Curve]) -> Section | None:
    """Return the section on curves over labels: where they begin, end and cross."""
    legend = Letters()
    write = Writer(UNICODE, legend)
    rows = [_crosses(curve, write.of([curve])) for curve in curves if not curve.placebo]
    if not rows:
        return None
    heads = (
        *("target", "source", "strategy", "over", "crossover", "gain at first budget"),
        *("gain at last budget", "mean over log labels", "label efficiency"),
        "label efficiency, source's labels counted",
    )
    return Section("crossover", (columns.written(heads, rows),), notes=tuple(legend.lines()))


def _crosses(curve: Curve, write: Writer) -> tuple[str, ...]:
    found = curve.measures
    gains = (found.jumpstart, found.asymptotic.gain, found.area.gain)
    return (
        *(curve.target, curve.source or NO_SOURCE, curve.strategy, curve.baseline),
        write.crossover(found.crossover, Axis.LABELS),
        *(write.measure(gain, signed=True) for gain in gains),
        write.measure(found.efficiency, digits=1),
        _charged(curve, write),
    )


def _charged(curve: Curve, write: Writer) -> str:
    return "" if curve.charged is None else write.measure(curve.charged.efficiency, digits=3)
