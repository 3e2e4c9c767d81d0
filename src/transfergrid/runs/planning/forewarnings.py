"""Warnings about a grid's targets, given before any cell runs: afterwards it is too late."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from transfergrid.data.class_names import oddities
from transfergrid.data.domain import Domain
from transfergrid.data.numbers import OF_NUMBERS
from transfergrid.data.outline import Outline
from transfergrid.records.cell import Cell, Labels
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build
from transfergrid.records.files.spellings import NAMED, shown
from transfergrid.records.metrics import NUMBERS
from transfergrid.runs.planning import pairs, zero_shot

AMOUNTS = 12
"""Fewest whole-number classes that may be amounts rather than grades or ratings."""
_WHOLE = re.compile(r"-?\d+")


def lines(cells: Iterable[Cell]) -> list[str]:
    """Return a line for everything odd about the cells' targets: files, classes, budgets, pairs."""
    cells = list(cells)
    first: dict[str, Cell] = {}
    budgets: dict[str, dict[Labels, None]] = {}
    for cell in cells:
        first.setdefault(cell.parts.target, cell)
        budgets.setdefault(cell.parts.target, {})[cell.labels] = None
    told = [line for target, asked in budgets.items() for line in _of(first[target], asked)]
    return list(dict.fromkeys([*told, *pairs.lines(cells), *zero_shot.lines(cells)]))


def _of(cell: Cell, budgets: Iterable[Labels]) -> list[str]:
    domain: Domain = build(cell.config["target"])
    try:
        outline = domain.outline()
    except BadInputError:
        raise
    except Exception:  # of a user's own domain: its cells fail with a log that says why
        return []
    ordered = sorted((b for b in budgets if b != "all"), key=int)
    found = [*of_outline(outline), *of_budgets(outline, ordered, domain.sampling)]
    augmentation = (cell.config["training"] or {}).get("augmentation", "none")
    if domain.modality == "vector" and augmentation != "none":
        told = f"training.augmentation={augmentation} does nothing here, as training=vectors says"
        found.append(f"vectors are not augmented: {told}")
    if NUMBERS in domain.tasks:
        found += of_amounts(outline)
    return [*domain.remarks(), *(f"{cell.names.target}: {line}" for line in found)]


def of_outline(outline: Outline) -> Iterator[str]:
    """Yield what is odd about a domain, whatever the label budget."""
    if not outline.classes:
        return
    yield from oddities(outline.classes)
    counts = list(zip(outline.classes, outline.pool, outline.test, strict=True))
    unlearned = [name for name, pool, _ in counts if not pool]
    if unlearned:
        yield (
            f"{_classes(unlearned)} in its list of classes, and no example to learn from: "
            "cells may still predict it"
        )
    untested = [name for name, pool, test in counts if pool and not test]
    if untested:
        yield f"{_classes(untested)} in the pool and not in test: no score tells how it is learned"
    if sum(test > 0 for test in outline.test) == 1:
        (tested,) = (name for name, test in zip(outline.classes, outline.test, strict=True) if test)
        yield f"all test examples are of class {shown(tested)}: no score tells classes apart"


def of_amounts(outline: Outline) -> Iterator[str]:
    """Yield a line if many classes are whole numbers, as ages are, and no count from 0 or 1 on."""
    names = outline.classes
    if len(names) < AMOUNTS or not all(_WHOLE.fullmatch(name) for name in names):
        return
    values = sorted(map(int, names))
    if values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1:
        return
    yield (
        f"its {len(names)} classes are whole numbers, {values[0]} to {values[-1]}: if they are "
        f"amounts, target.metric={OF_NUMBERS} learns them as such"
    )


def _classes(names: Sequence[str]) -> str:
    listed = ", ".join(map(shown, names[:NAMED])) + (", ..." if len(names) > NAMED else "")
    return f"class {listed} is" if len(names) == 1 else f"{len(names)} classes ({listed}) are"


def of_budgets(outline: Outline, budgets: Sequence[int], sampling: str) -> Iterator[str]:
    """Yield a line for each label budget that exceeds what a class, or the pool, has."""
    sizes = [size for size in outline.pool if size]
    if not outline.classes:  # for numbers a budget counts all labels, not labels per class
        sampling = "natural"
    for budget in budgets if sizes else ():
        if sampling == "natural":
            asked, there = budget * max(len(outline.classes), 1), sum(sizes)
            if asked > there:
                yield f"labels={budget} asks for {asked:,} labels, and the pool has {there:,}: all"
        elif budget > max(sizes):
            yield (
                f"labels={budget} is more than any class has ({_span(sizes)}): it gives all that "
                "there are, as labels=all does"
            )
        elif budget > min(sizes):
            yield f"labels={budget} is more than some classes have: {_fewest(outline, budget)}"


def _span(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _fewest(outline: Outline, budget: int) -> str:
    """Name the classes that have fewer labels than the budget, the smallest first."""
    few = sorted(
        (size, name) for name, size in zip(outline.classes, outline.pool, strict=True) if size > 0
    )
    short = [f"{shown(name)} has {size:,}" for size, name in few if size < budget]
    more = f", and {len(short) - NAMED} more" if len(short) > NAMED else ""
    return ", ".join(short[:NAMED]) + more
