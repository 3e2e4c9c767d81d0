"""Figures for a paper: SVG and PNG of each chart, in light colours, and its numbers as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.records.errors import writing
from transfergrid.report.html import charts
from transfergrid.report.html.affinity import affinity_maps
from transfergrid.report.html.data import ReportData
from transfergrid.report.html.heat_map import Figure, Row, figure, heat_maps, overs, split
from transfergrid.report.html.rows import page_rows, sources_in_order
from transfergrid.report.tables.escaping import CsvWriter
from transfergrid.report.wording.verdict_words import SAID

WIDTH = 320
"""The width in pixels of a chart without its labels; with them it fits a column of 3.3 inches at
144 pixels per inch."""
SCALE = 4
"""PNG pixels per pixel of the chart: some 300 per inch at column width."""
SHAPES_TOLD = "; ".join(f"{m} {SAID[kind]}" for m, kind in zip("▲▼■►◄●", Kind, strict=True))
COLUMNS = (
    *("target", "labels", "source", "strategy", "baseline", "verdict", "gain", "low", "high"),
    *("p", "p_corrected", "n", "mean", "baseline_mean", "seconds", "all_seconds", "cells"),
)


def write_figures(data: ReportData, folder: Path) -> list[Path]:
    """Write every figure and return the files.

    Raises:
        BadInputError: the folder cannot be written to.
    """
    written: list[Path] = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for figure in figures(data):
            written += _write(figure, folder)
    return written


def figures(data: ReportData) -> Iterator[Figure]:
    """Yield a figure for each chart that the page draws from verdicts."""
    sources = sources_in_order(data.verdicts, data.called)
    rows = [row for row in page_rows(data.verdicts, {}, data.called) if "gain" in row]
    yield from heat_maps(data)
    yield from affinity_maps(data)
    forest, cost = charts.forest(), charts.cost("seconds", "front")
    for place, inside in split(rows, "target", "labels").items():
        title, band = [f"{place[0]}, {inside[0]['budget']}", overs(inside)], _band(inside)
        own = [row for row in inside if row["kind"] == "transfer"]
        aside = [row for row in inside if row["kind"] != "transfer"]
        for name, part in (("gains", own), ("gains_of_placebos_and_controls", aside)):
            if part:
                told = [*title, f"{SHAPES_TOLD}; {band}"]
                yield _narrow(name, place, told, forest, part)
        yield from _costs(place, inside, cost)
    for place, inside in split(rows, "target", "strategy").items():
        budgets = [row for row in inside if row["labels"] != "0"]
        if len({row["labels"] for row in budgets}) > 1:
            there = [name for name in sources if any(row["source"] == name for row in budgets)]
            spec = charts.over_labels(sources, charts.counted(data.verdicts), there)
            yield _narrow("labels", place, [", ".join(place), _band(budgets)], spec, budgets)


def _band(rows: Sequence[Row]) -> str:
    return f"grey band: ±{rows[0]['margin']:g} points"


def _costs(place: tuple[str, ...], rows: Sequence[Row], spec: charts.Spec) -> Iterator[Figure]:
    timed = [row for row in rows if row["kind"] != "placebo" and "seconds" in row]
    for (baseline,), part in split(timed, "baseline").items():
        if len(part) > 1:
            front = sorted((row for row in part if "front" in row), key=lambda row: row["front"])
            named = [f"{row['front']}: {row['arm']}" for row in front]
            title = [f"{place[0]}, {part[0]['budget']}, over {baseline}", *named]
            yield _narrow("cost", (*place, baseline), title, spec, part)


def _narrow(
    kind: str, place: Sequence[str], title: Sequence[str], spec: charts.Spec, rows: Sequence[Row]
) -> Figure:
    """Return a figure that is as wide as a column."""
    wide = {"width": WIDTH} if isinstance(spec.get("width"), int) else {}
    return figure(kind, place, title, {**spec, **wide}, rows)


def _write(figure: Figure, folder: Path) -> list[Path]:
    svg, png, table = (folder / f"{figure.name}.{end}" for end in ("svg", "png", "csv"))
    svg.write_text(figure.svg(), encoding="utf-8")
    png.write_bytes(figure.png(SCALE))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.row(COLUMNS)
        writer.rows([_flat(row.get(key, "")) for key in COLUMNS] for row in figure.rows)
    return [svg, png, table]


def _flat(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
