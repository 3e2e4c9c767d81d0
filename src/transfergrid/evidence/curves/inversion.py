"""Intervals by test inversion: all values that the data do not reject.

A quantity such as the budget at which a curve reaches a level is no mean over blocks. But for each
candidate there is a mean over blocks that is zero if the candidate is right, and so a test of it.
"""

from __future__ import annotations

from collections.abc import Callable

HALVINGS = 24
DOUBLINGS = 40

Criterion = Callable[[float], float | None]
"""Not negative for candidates that are not rejected; None where there is no test."""


def boundary(criterion: Criterion, inside: float, outside: float) -> float:
    """Return where between two candidates the criterion turns negative, by halving."""
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        found = criterion(middle)
        if found is None or found >= 0:
            inside = middle
        else:
            outside = middle
    return (inside + outside) / 2


def outward(criterion: Criterion, inside: float, step: float) -> float | None:
    """Return the boundary on the side of `step` from a candidate inside; None if none is near."""
    for _ in range(DOUBLINGS):
        found = criterion(inside + step)
        if found is None:
            return None
        if found < 0:
            return boundary(criterion, inside, inside + step)
        step *= 2
    return None
