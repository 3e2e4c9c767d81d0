"""Names of sources and strategies in tables: overrides that all share are shown only once.

An override common to a whole grid, as in `a(architecture.size=64)` and `b(architecture.size=64)`,
distinguishes nothing, and hides what does when names are cut.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from transfergrid.records.printing import in_one_line

if TYPE_CHECKING:
    from transfergrid.records.cell import Cell

Named = TypeVar("Named", bound=Any)
"""An object with a `source` and a `strategy`: a row, a verdict, a curve."""
_NAME = re.compile(r"(?P<base>[^()]+)\((?P<inside>.*)\)(?P<mark>[^()]*)", re.DOTALL)
JOIN = "+"
"""The separator between the names of sources that are used as one."""
_ROUNDS = 4
_PLURAL = {"source": "sources", "strategy": "strategies"}


def told(rows: Sequence[Named]) -> tuple[list[Named], list[str]]:
    """Return the rows with shortened names, and lines with the overrides that all names share."""
    rows, lines, short = [in_one_line(row) for row in rows], [], {}
    for field, plural in _PLURAL.items():
        names = {getattr(row, field) for row in rows}
        short[field], common = without_common(filter(None, names))
        if common:
            lines.append(f"all {plural}: {', '.join(common)}")
    if not lines:
        return list(rows), []
    return [_renamed(row, short) for row in rows], lines


def _renamed(row: Any, short: dict[str, dict[str, str]]) -> Any:
    known = {field: getattr(row, field) for field in short}
    new = {field: short[field].get(name, name) for field, name in known.items()}
    return row if new == known else dataclasses.replace(row, **new)


def of_cells(cells: Sequence[Cell]) -> tuple[dict[str, str], list[str]]:
    """Return each cell's short label by id, and lines with what all share."""
    short, lines = {}, []
    for field, plural in {**_PLURAL, "target": "targets"}.items():
        short[field], common = without_common(
            filter(None, (getattr(c.names, field) for c in cells))
        )
        lines += [f"all {plural}: {', '.join(common)}"] if common else []
    trainings = {cell.names.training for cell in cells} - {None}
    if len(trainings) == 1 and "(" in (alone := str(*trainings)):  # not as shipped
        lines.append(f"training: {alone}")
        short["training"] = {alone: ""}
    return {cell.id: _as_called(cell, short).label for cell in cells}, lines


def _as_called(cell: Cell, short: dict[str, dict[str, str]]) -> Cell:
    new = {field: found.get(getattr(cell.names, field) or "") for field, found in short.items()}
    changed = {field: name for field, name in new.items() if name is not None}
    return dataclasses.replace(cell, names=dataclasses.replace(cell.names, **changed))


def without_common(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return short names without the overrides that all names have, and these overrides.

    Nothing is left out if two names would become equal.
    """
    split = {name: list(map(_split, _listed(name, JOIN))) for name in sorted(set(names))}
    bearing = [set(overrides) for each in split.values() for _, overrides, _ in each]
    shared = set.intersection(*bearing) if bearing else set()
    short = {
        name: JOIN.join(_joined(*parts, shared) for parts in each) for name, each in split.items()
    }
    if not shared or len(set(short.values())) < len(short):
        return {name: name for name in split}, ()
    first = next(iter(split.values()))[0][1]
    return short, tuple(override for override in first if override in shared)


def _split(name: str) -> tuple[str, tuple[str, ...], str]:
    """Return a name's option, its overrides, and the suffix that distinguishes it from others."""
    match = _NAME.fullmatch(name)
    if match is None:
        return name, (), ""
    return match["base"], tuple(_listed(match["inside"])), match["mark"]


def _listed(inside: str, between: str = ",") -> Iterable[str]:
    """Return the parts between separators, ignoring those in brackets."""
    depth, start = 0, 0
    for i, character in enumerate(inside):
        depth += (character in "([{") - (character in ")]}")
        if character == between and depth == 0:
            yield inside[start:i]
            start = i + 1
    yield inside[start:]


def _joined(base: str, overrides: Sequence[str], mark: str, less: set[str]) -> str:
    kept = [override for override in overrides if override not in less]
    return base + (f"({','.join(kept)})" if kept else "") + mark


def shortened(names: Iterable[str], width: int, cut: str = "…") -> dict[str, str]:
    """Return names cut in the middle to a width; no two names ever become equal.

    If no single cut position keeps all names distinct, names that would be confused keep a piece
    from where they differ, or else are numbered.
    """
    known = sorted(set(names))
    kept = max(width - len(cut), 1)
    heads = sorted(range(kept + 1), key=lambda head: abs(2 * head - kept - 1))
    ways = [{name: _without_middle(name, width, head, cut) for name in known} for head in heads]
    best = next((way for way in ways if not _alike(way)), ways[0])
    for _ in range(_ROUNDS):  # of equal ones, some may differ early and the others late
        for alike in _alike(best):
            best |= _pieces(alike, width, cut)
    for alike in _alike(best):
        best |= _numbered(alike, set(best.values()), width, cut)
    return best


def _alike(way: dict[str, str]) -> list[list[str]]:
    """Return groups of names with the same short form."""
    groups: dict[str, list[str]] = {}
    for name, short in way.items():
        groups.setdefault(short, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _without_middle(name: str, width: int, head: int, cut: str) -> str:
    if len(name) <= width:
        return name
    tail = max(width - len(cut), 1) - head
    return name[:head] + cut + name[len(name) - tail :]


def _pieces(names: Sequence[str], width: int, cut: str) -> dict[str, str]:
    """Return each name's first characters and those from where it first differs."""
    shared = min(map(len, names))
    differ = next((i for i in range(shared) if len({name[i] for name in names}) > 1), shared)
    head = min(max((width - 2 * len(cut)) // 2, 1), differ)
    room = max(width - head - 2 * len(cut), 1)
    return {n: f"{n[:head]}{cut}{n[differ : differ + room]}{cut}"[:width] for n in names}


def _numbered(names: Sequence[str], taken: set[str], width: int, cut: str) -> dict[str, str]:
    found: dict[str, str] = {}
    number = 0
    for name in names:
        while not found.get(name) or found[name] in taken:
            number += 1
            found[name] = f"{name[: max(width - len(f'{cut}{number}'), 0)]}{cut}{number}"
        taken.add(found[name])
    return found
