"""Doubtful names of classes: one class under two names, or no class at all.

Clear cases are refused; the others become remarks before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.records.errors import BadInputError
from transfergrid.records.files.spellings import (
    NAMED,
    alike,
    is_missing,
    is_number,
    listed,
    near,
    same,
    shown,
    together,
)
from transfergrid.records.files.whole import whole_number

FEW = 10
"""Texts among numeric class names are remarked on if they are at most one in this many."""
UNLABELLED = "-1"
"""The label that many programs write for an example without one."""


def check_different(names: Sequence[str], way_out: str) -> None:
    """Raise `BadInputError` if two classes look the same or are one number.

    `way_out` ends the message.
    """
    twice = alike(names, same)
    if twice:
        raise BadInputError(
            f"classes {listed(twice)} look the same or are one number, and would be learned as "
            f"two: {way_out}"
        )


def oddities(names: Sequence[str]) -> list[str]:
    """Return remarks on names of classes that the user should check.

    These are: names that differ only in spelling, names like missing values, names composed of
    others (an example with several labels), and a few texts among numbers.
    """
    return [
        *_near(names),
        *_missing(names),
        *_together(names),
        *_few_texts(names),
    ]


def _near(names: Sequence[str]) -> list[str]:
    sets = alike(names, near)
    if not sets:
        return []
    return [f"classes {listed(sets)} differ only in how they are written: are they two?"]


def _missing(names: Sequence[str]) -> list[str]:
    odd = [name for name in names if is_missing(name)]
    numbers = [whole_number(name) for name in names]
    whole = [number for number in numbers if number is not None]
    if len(whole) == len(names) and min(whole) == int(UNLABELLED):
        odd.append(UNLABELLED)
    return [
        f"class {shown(name)} looks like a missing label: if it is one, leave its examples out"
        for name in odd
    ]


def _together(names: Sequence[str]) -> list[str]:
    made = {name: parts for name in names if (parts := together(name, set(names) - {name}))}
    if not made:
        return []
    name, parts = next(iter(made.items()))
    more = f", and {len(made) - 1} more like it" if len(made) > 1 else ""
    return [
        f"class {shown(name)} reads like {' and '.join(map(shown, parts[:NAMED]))} together{more}: "
        "an example has one class here, so each combination is a class of its own"
    ]


def _few_texts(names: Sequence[str]) -> list[str]:
    texts = [name for name in names if not (is_number(name) or is_missing(name))]
    if not texts or len(texts) > max(1, len(names) // FEW) or len(names) < 3:
        return []
    told = "stands" if len(texts) == 1 else "stand"
    return [
        f"{', '.join(map(shown, texts[:NAMED]))} {told} among classes that are numbers: a label?"
    ]
