"""Transfer curves as rows for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any

from transfergrid.evidence.curves.measures import Measure, Sides
from transfergrid.evidence.curves.results import Curve
from transfergrid.evidence.curves.summary import CurveMeasures

COLUMNS = (
    *("source", "architecture", "strategy", "target", "baseline", "against", "labels", "metric"),
    *("threshold", "charged", "measure", "of", "value", "low", "high", "relation", "n", "scope"),
    "note",
    "protocol",
)


def as_rows(curves: Sequence[Curve]) -> list[dict[str, object]]:
    """Return one row per measure; None where the data cannot tell.

    `of` is "arm", "baseline" or "gain"; `charged` is whether the source's cost is charged.
    """
    return [
        dict(zip(COLUMNS, [*head, *line, curve.protocol], strict=True))
        for curve in curves
        for head in [[getattr(curve, name) for name in COLUMNS[:9]]]
        for line in _lines(curve)
    ]


def plain(found: Any) -> Any:
    """Return a curve and its contents as mappings; `asdict` would copy each number and text."""
    if isinstance(found, tuple):
        return [plain(inner) for inner in found]
    if is_dataclass(found):
        return {name: plain(inner) for name, inner in vars(found).items()}
    return found


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
