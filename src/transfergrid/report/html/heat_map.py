"""The heat map of gains, sources by strategies, for the report, for papers and for W&B."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.metrics import is_of_numbers
from transfergrid.report.html import charts, themes
from transfergrid.report.html.bundle import vega_lite
from transfergrid.report.html.data import ReportData
from transfergrid.report.html.rows import page_rows
from transfergrid.report.wording.verdict_words import called

MARKS_TOLD = "; ".join(map(called, Kind)) + " (hatched)"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One figure in light colours.

    Args:
        name: the file name without ending.
        title: a short title.
        spec: the chart with its data.
        rows: the numbers behind it.
    """

    name: str
    title: str
    spec: charts.Spec
    rows: Sequence[Row]

    def svg(self) -> str:
        """Return the figure as SVG."""
        import vl_convert

        drawn: str = vl_convert.vegalite_to_svg(self.spec, **self._look())
        return drawn

    def png(self, scale: float) -> bytes:
        """Return the figure as PNG, with `scale` pixels per pixel of the chart."""
        import vl_convert

        drawn: bytes = vl_convert.vegalite_to_png(self.spec, scale=scale, **self._look())
        return drawn

    def _look(self) -> dict[str, Any]:
        return {"vl_version": vega_lite(), "config": themes.themes()["light"]}


def figure(
    kind: str,
    place: Sequence[str],
    title: Sequence[str],
    spec: charts.Spec,
    rows: Sequence[Row],
) -> Figure:
    """Return the figure of a chart and its rows.

    Args:
        kind: the kind of the chart, which starts the file name.
        place: what the rows share, the rest of the file name.
        title: the lines of the title.
        spec: the chart without data.
        rows: the rows from `rows.page_rows`.
    """
    name = re.sub(r"[^\w.-]+", "_", "_".join((kind, *place)))
    told = {"text": title[0], "subtitle": list(title[1:])}
    chart = {**charts.filled(spec, list(rows)), "title": told, "background": "white"}
    return Figure(name, title[0], chart, rows)


def heat_maps(data: ReportData) -> Iterator[Figure]:
    """Yield the heat map of each target and label budget, for the arms with a gain."""
    spec = charts.heatmap(data.rules.margin, reach(data))
    rows = [row for row in page_rows(data.verdicts, {}, data.called) if "gain" in row]
    for place, inside in split(rows, "target", "labels").items():
        first = data.verdicts[inside[0]["row"]]
        told = f"{_unit_of(first)} {overs(inside)}"
        title = [f"{place[0]}, {inside[0]['budget']}", told, data.common, MARKS_TOLD]
        yield figure("heatmap", place, [line for line in title if line], spec, inside)


def reach(data: ReportData) -> float:
    """Return the largest gain, in points, that the colours of heat maps distinguish."""
    shown = [*data.verdicts, *(pair.verdict for pair in data.pairs)]
    found = [abs(v.gain) / v.point for v in shown if v.gain is not None]
    return max([10 * data.rules.margin, *found])


def _unit_of(verdict: Verdict) -> str:
    """Return the meaning of the numbers in the cells."""
    metric = verdict.metric.replace("_", " ")
    in_points = verdict.unit == "%" or is_of_numbers(verdict.metric)
    return f"gain in points of {metric}" if in_points else f"gain in {metric}"


def overs(rows: Sequence[Row]) -> str:
    """Return the baseline of most rows, and the strategies that have another one."""
    groups = sorted(split(rows, "baseline").items(), key=lambda group: -len(group[1]))
    told = [f"over {groups[0][0][0]}"]
    for (baseline,), inside in groups[1:]:
        named = ", ".join(dict.fromkeys(row["strategy"] for row in inside))
        told.append(f"{named} over {baseline}")
    return "; ".join(told)


def split(rows: Sequence[Row], *keys: str) -> dict[tuple[str, ...], list[Row]]:
    """Return the rows grouped by their values of these keys, in order."""
    groups: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    return dict(groups)
