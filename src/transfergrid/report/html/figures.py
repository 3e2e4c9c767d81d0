"""Figures for a paper: SVG and PNG of each chart, in light colours, and the numbers behind it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfergrid.evidence.decisions import Kind
from transfergrid.records.errors import BadInputError
from transfergrid.report.escaping import CsvWriter
from transfergrid.report.html import charts, themes
from transfergrid.report.html.answer import SAID
from transfergrid.report.html.bundle import vega_lite
from transfergrid.report.html.data import ReportData
from transfergrid.report.html.page import reach
from transfergrid.report.html.rows import MARKS, page_rows, sources_in_order

WIDTH = 320
"""Pixels of a chart without its labels: with them about a column of 3.3 inches at 144 a inch."""
SCALE = 4
"""Pixels of a PNG to one of the chart: some 300 to the inch at column width."""
MARKS_TOLD = "; ".join(f"{MARKS[kind]} {SAID[kind]}" for kind in Kind) + " (hatched)"
SHAPES_TOLD = "; ".join(f"{m} {SAID[kind]}" for m, kind in zip("▲▼■►◄●", Kind, strict=True))
COLUMNS = (
    *("target", "labels", "source", "strategy", "baseline", "verdict", "gain", "low", "high"),
    *("p", "p_corrected", "n", "mean", "baseline_mean", "seconds", "all_seconds", "cells"),
)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One figure: its file name without an ending, its chart with data, and its rows."""

    name: str
    spec: charts.Spec
    rows: list[Row]


def write_figures(data: ReportData, folder: Path) -> list[Path]:
    """Write every figure and return the files.

    Raises:
        BadInputError: the folder cannot be written to.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for figure in figures(data):
            written += _write(figure, folder)
    except OSError as error:
        raise BadInputError(f"cannot write to '{folder}': {error.strerror or error}") from None
    return written


def figures(data: ReportData) -> Iterator[Figure]:
    """Yield a figure for each chart that the page draws from verdicts."""
    sources = sources_in_order(data.verdicts, data.called)
    specs = charts.templates(data.rules.margin, reach(data), sources)
    rows = [row for row in page_rows(data.verdicts, {}, data.called) if "gain" in row]
    band = f"grey band: ±{data.rules.margin:g} points"
    for place, inside in _split(rows, "target", "labels").items():
        title = [f"{place[0]}, {inside[0]['budget']}", overs(inside)]
        yield _figure("heatmap", place, [*title, MARKS_TOLD], specs["heatmap"], inside)
        own = [row for row in inside if row["kind"] == "transfer"]
        aside = [row for row in inside if row["kind"] != "transfer"]
        for name, part in (("gains", own), ("gains_of_placebos_and_controls", aside)):
            if part:
                told = [*title, f"{SHAPES_TOLD}; {band}"]
                yield _figure(name, place, told, specs["forest"], part)
        yield from _costs(place, inside, specs["cost"])
    for place, inside in _split(rows, "target", "strategy").items():
        budgets = [row for row in inside if row["labels"] != "0"]
        if len({row["labels"] for row in budgets}) > 1:
            there = [name for name in sources if any(row["source"] == name for row in budgets)]
            spec = charts.over_labels(data.rules.margin, sources, there)
            yield _figure("labels", place, [", ".join(place), band], spec, budgets)


def _costs(place: tuple[str, ...], rows: Sequence[Row], spec: charts.Spec) -> Iterator[Figure]:
    timed = [row for row in rows if row["kind"] != "placebo" and "seconds" in row]
    for (baseline,), part in _split(timed, "baseline").items():
        if len(part) > 1:
            front = sorted((row for row in part if "front" in row), key=lambda row: row["front"])
            named = [f"{row['front']}: {row['arm']}" for row in front]
            title = [f"{place[0]}, {part[0]['budget']}, over {baseline}", *named]
            yield _figure("cost", (*place, baseline), title, spec, part)


def overs(rows: Sequence[Row]) -> str:
    """Name the baseline of most rows, and the strategies that have another."""
    groups = sorted(_split(rows, "baseline").items(), key=lambda group: -len(group[1]))
    told = [f"over {groups[0][0][0]}"]
    for (baseline,), inside in groups[1:]:
        named = ", ".join(dict.fromkeys(row["strategy"] for row in inside))
        told.append(f"{named} over {baseline}")
    return "; ".join(told)


def _split(rows: Sequence[Row], *keys: str) -> dict[tuple[str, ...], list[Row]]:
    groups: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    return dict(groups)


def _figure(
    kind: str, place: Sequence[str], title: Sequence[str], spec: charts.Spec, rows: Sequence[Row]
) -> Figure:
    name = re.sub(r"[^\w.-]+", "_", "_".join((kind, *place)))
    told = {"text": title[0], "subtitle": list(title[1:])}
    chart = {**charts.filled(spec, list(rows)), "title": told, "background": "white"}
    if isinstance(chart.get("width"), int):
        chart["width"] = WIDTH
    return Figure(name, chart, list(rows))


def _write(figure: Figure, folder: Path) -> list[Path]:
    import vl_convert

    look: Any = {"vl_version": vega_lite(), "config": themes.themes()["light"]}
    svg, png, table = (folder / f"{figure.name}.{end}" for end in ("svg", "png", "csv"))
    svg.write_text(vl_convert.vegalite_to_svg(figure.spec, **look), encoding="utf-8")
    png.write_bytes(vl_convert.vegalite_to_png(figure.spec, scale=SCALE, **look))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.row(COLUMNS)
        writer.rows([_flat(row.get(key, "")) for key in COLUMNS] for row in figure.rows)
    return [svg, png, table]


def _flat(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
