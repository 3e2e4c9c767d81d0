"""Transfer curves for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from transfergrid.evidence.curves.measures import Measure, Sides
from transfergrid.evidence.curves.results import Curve
from transfergrid.evidence.curves.summary import CurveMeasures
from transfergrid.report.escaping import CsvWriter

COLUMNS = (
    *("source", "architecture", "strategy", "target", "baseline", "against", "labels", "metric"),
    *("threshold", "charged", "measure", "of", "value", "low", "high", "relation", "n", "scope"),
    "note",
)


def as_json(curves: Sequence[Curve]) -> str:
    """Write a list of curves with their points and measures; null is what the data cannot tell."""
    return json.dumps([asdict(curve) for curve in curves], indent=1, allow_nan=False) + "\n"


def as_csv(curves: Sequence[Curve]) -> str:
    """Write one line per measure; an empty field is what the data cannot tell.

    `of` is "arm", "baseline" or "gain"; `charged` says whether the source's cost is.
    """
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.row(COLUMNS)
    for curve in curves:
        head = [getattr(curve, name) for name in COLUMNS[:9]]
        writer.rows([*head, *line] for line in _lines(curve))
    return text.getvalue()


def _lines(curve: Curve) -> Iterator[list[object]]:
    yield from _measures(curve.measures, False)
    yield from _sides("overfitting", curve.overfitting, False)
    if curve.charged is not None:
        yield from _measures(curve.charged, True)
    yield _line("break_even", "gain", curve.break_even, True)


def _measures(found: CurveMeasures, charged: bool) -> Iterator[list[object]]:
    yield _line("jumpstart", "gain", found.jumpstart, charged)
    for name in ("slope", "asymptotic", "area", "reach"):
        yield from _sides(name, getattr(found, name), charged)
    yield _line("transfer_ratio", "gain", found.transfer_ratio, charged)
    yield _line("efficiency", "gain", found.efficiency, charged)
    cross = found.crossover
    told = f"{cross.kind}: {cross.after} to {cross.before}" if cross.after else cross.kind
    ends = (cross.value, cross.low, cross.high, "=", cross.n, cross.scope)
    yield [charged, "crossover", "gain", *ends, f"{told} {cross.note}".strip()]


def _sides(name: str, found: Sides, charged: bool) -> Iterator[list[object]]:
    for of in ("arm", "baseline", "gain"):
        yield _line(name, of, getattr(found, of), charged)


def _line(name: str, of: str, found: Measure, charged: bool) -> list[object]:
    ends = (found.value, found.low, found.high, found.relation, found.n, found.scope, found.note)
    return [charged, name, of, *ends]
