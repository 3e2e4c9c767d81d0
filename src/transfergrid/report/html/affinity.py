"""The matrix of jointly learned tasks: rows are tasks that gain, columns what they are beside."""

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
    """Return a page row for each pair; `panel` is the matrix that it belongs to.

    Within a matrix no two pairs have the same place: the same task beside the same one, with
    another source or network, goes to another matrix.
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
        del row["row"]  # this index refers to another table
        row |= {"source": pair.beside, "arm": f"{pair.task} beside {pair.beside}", "panel": title}
        row |= {"line": tasks.index(pair.task), "column": tasks.index(pair.beside)}
        found.append(row)
    return found


def _place(pair: Pair) -> tuple[str, str]:
    return pair.task, pair.beside


def _panel(pair: Pair, several: bool) -> str:
    """Return the title of a matrix, with its network if there are several."""
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
