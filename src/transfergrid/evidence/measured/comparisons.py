"""Other views of the same cells: over another baseline, or within one group of the test items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.measured.results import AnyCell, Cell, Result, references
from transfergrid.evidence.measured.scoring import KNOWN, value_of
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.origins import is_placebo

PLACEBO = "placebo"
"""The name of the baseline that is not a strategy: the same arm with an uninformative source."""


PLAIN = "full_finetuning"
"""The strategy that every other one, from the same source, should beat."""


def exploratory(cells: Iterable[Cell]) -> list[str]:
    """Return the names of the cells' exploratory baselines, including "placebo" if there is one."""
    listed = list(cells)
    names = {other.name for cell in listed for other in cell.exploratory}
    return sorted(names | ({PLACEBO} if any(map(_is_placebo, listed)) else set()))


def over(records: Iterable[Cell], name: str) -> list[Cell]:
    """Return the cells, compared with the exploratory baseline of this name if they have one.

    The name may be any strategy in the results: a cell that does not name it as a baseline is
    compared with that strategy's cell of the same source, architecture and seed block. "placebo" is
    the cell of the same strategy, architecture and seed block whose source is a placebo: a gain
    over it is due to knowledge. Cells without such a baseline are compared with nothing.

    Raises:
        BadInputError: no cell has such a baseline.
    """
    cells = list(records)
    primary = {cell.baseline.name for cell in cells if cell.baseline}
    known = primary.union(exploratory(cells), strategies_with_source(cells))
    check_known("baseline", name, sorted(known))
    if name == PLACEBO:
        placebos = _placebos(cells)
        return [replace(cell, baseline=_placebo_of(cell, placebos)) for cell in cells]
    same: defaultdict[tuple[Any, ...], list[AnyCell]] = defaultdict(list)
    for cell in cells:
        if cell.names.strategy == name and cell.names.source:
            same[_but_strategy(cell)].append(cell)
    return [replace(cell, baseline=_named(cell, name) or _same_source(cell, name, same))
            for cell in cells]  # fmt: skip


def strategies_with_source(cells: Iterable[AnyCell]) -> set[str]:
    """Return the strategies that adapted a source: each can serve as a baseline."""
    return {cell.names.strategy for cell in cells if cell.names.source}


def _same_source(
    cell: AnyCell, name: str, there: Mapping[tuple[Any, ...], list[AnyCell]]
) -> Reference | None:
    """Return the only cell of strategy `name` that shares everything else with this cell."""
    if cell.names.source is None or cell.names.strategy == name:
        return None
    found = there.get(_but_strategy(cell), [])
    alike = [other for other in found if other.parts.source == cell.parts.source] or found
    alike = [other for other in alike if other.names.tuning == cell.names.tuning] or alike
    return Reference(name=name, id=alike[0].id) if len(alike) == 1 else None


def _but_strategy(cell: AnyCell) -> tuple[Any, ...]:
    """Return the key that strategies share; by the source's name, as they use different parts."""
    names, parts = cell.names, cell.parts
    return names.source, names.architecture, parts.target, parts.training, cell.labels, cell.seed


def _named(cell: AnyCell, name: str) -> Reference | None:
    return next((other for other in references(cell) if other.name == name), None)


def _placebos(cells: Iterable[AnyCell]) -> dict[tuple[Any, ...], AnyCell]:
    """Return placebos by the key that they share with real arms; the first name wins."""
    by_name = sorted(filter(_is_placebo, cells), key=lambda cell: cell.names.source or "")
    return {_but_source(cell): cell for cell in reversed(by_name)}


def _placebo_of(cell: AnyCell, placebos: Mapping[tuple[Any, ...], AnyCell]) -> Reference | None:
    if cell.names.source is None or _is_placebo(cell):
        return None
    found = placebos.get(_but_source(cell))
    return Reference(name=PLACEBO, id=found.id) if found else None


def _but_source(cell: AnyCell) -> tuple[Any, ...]:
    parts = cell.parts
    shared = parts.strategy, parts.target, parts.training, parts.tuning
    return *shared, cell.names.architecture, cell.labels, cell.seed


def _is_placebo(cell: AnyCell) -> bool:
    return cell.placebo if isinstance(cell, Result) else is_placebo(cell)


def by_group(records: Iterable[Result], read: Read) -> Iterator[tuple[str, list[Result], Read]]:
    """Yield each group of test items, by name, with the cells as scored on this group alone.

    Raises:
        BadInputError: no cell's target has groups.
    """
    cells = [cell for cell in records if cell.metric.name in KNOWN]
    places = {cell.id: places_of(_groups(cell, read)) for cell in cells}
    names = sorted({name for found in places.values() for name in found})
    if not names:
        raise BadInputError("no target of these results has groups: target.group_column names one")
    for name in names:
        rows = {identity: found[name] for identity, found in places.items() if name in found}
        inside = [cell for cell in cells if cell.id in rows]
        scored = [_restricted(cell, _only(read(cell.id), rows[cell.id])) for cell in inside]
        yield name, scored, partial(_read_rows, read, rows)


def places_of(groups: NDArray[np.str_]) -> dict[str, NDArray[np.int64]]:
    """Return the indices of each group's items, given the group (n,) of each item."""
    names, of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    places = np.split(np.argsort(of, kind="stable"), np.cumsum(sizes)[:-1])
    return {str(name): found for name, found in zip(names, places, strict=False)}


def _read_rows(read: Read, rows: Mapping[str, NDArray[np.int64]], identity: str) -> Predictions:
    return _only(read(identity), rows[identity])


def _groups(cell: Result, read: Read) -> NDArray[np.str_]:
    """Return the group of each test item (n,); empty if there are no groups."""
    try:
        groups = read(cell.id).groups
    except BadInputError:
        groups = None
    return np.empty(0, dtype=np.str_) if groups is None else groups


def _only(said: Predictions, rows: NDArray[np.int64]) -> Predictions:
    """Return the predictions on one group's items, without the group names."""
    return said.only(rows)._replace(groups=None)


def _restricted(cell: Result, said: Predictions) -> Result:
    """Return the cell, with its score recomputed from these predictions."""
    return replace(cell, score=value_of(cell.metric.name, said))
