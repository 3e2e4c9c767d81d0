"""The matrix of tasks that were learned at once: rows gain or lose, columns are learned beside."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from transfergrid.evidence.several.affinity import Pair
from transfergrid.report.html import charts
from transfergrid.report.html.data import ReportData
from transfergrid.report.html.heat_map import MARKS_TOLD, Figure, figure, overs, reach, split
from transfergrid.report.html.rows import page_rows

READ = "a row is the task that gains or loses, a column what it is learned beside"


def affinity_rows(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return a row of the page for each pair; `panel` says which matrix it belongs to.

    Within one no two have the same place: what is the same task beside the same one, from another
    source or network, is in a matrix of its own.
    """
    tasks = sorted({pair.task for pair in pairs} | {pair.beside for pair in pairs})
    verdicts = [replace(p.verdict, target=p.task, labels=p.labels, source=p.beside) for p in pairs]
    several = len({pair.verdict.architecture for pair in pairs}) > 1
    taken: set[tuple[str, str, str]] = set()
    found = []
    for pair, row in zip(pairs, page_rows(verdicts, {}), strict=True):
        panel, number = _panel(pair, several), 1
        while (title := panel if number == 1 else f"{panel} ({number})", *_place(pair)) in taken:
            number += 1
        taken.add((title, *_place(pair)))
        del row["row"]  # of the table of all comparisons
        row |= {"source": pair.beside, "arm": f"{pair.task} beside {pair.beside}", "panel": title}
        row |= {"line": tasks.index(pair.task), "column": tasks.index(pair.beside)}
        found.append(row)
    return found


def _place(pair: Pair) -> tuple[str, str]:
    return pair.task, pair.beside


def _panel(pair: Pair, several: bool) -> str:
    """Return what a matrix is called, by its network where there are several."""
    own, other = ("source", "target") if pair.as_source else ("target", "source")
    network = f" of {pair.verdict.architecture}" if several else ""
    return (
        f"{pair.verdict.strategy}{network}: {own} (labels={pair.labels}) beside {other} "
        f"(labels={pair.beside_labels})"
    )


def affinity_maps(data: ReportData) -> Iterator[Figure]:
    """Yield a figure for each matrix."""
    spec = charts.affinity(data.rules.margin, reach(data))
    for (panel,), inside in split(affinity_rows(data.pairs), "panel").items():
        title = [panel, f"gain in points {overs(inside)}; {READ}", MARKS_TOLD]
        yield figure("affinity", (re.sub("[()]", "", panel),), title, spec, inside)
