"""Crossover: the label budget or step beyond which the gain's interval no longer lies above zero.

The interval is uncorrected, so this is not a verdict. Beyond the crossover the gain may be
negative, or not distinguishable from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transfergrid.evidence.curves.between import Mixtures
from transfergrid.evidence.curves.measures import (
    Axis,
    Both,
    by_point,
    estimate,
    estimates,
    scope_of,
)
from transfergrid.evidence.curves.thresholds import first_not_above

Kind = Literal["between", "beyond", "never helps", "unknown"]
MOST_NAMED = 3
"""The largest number of points that are listed individually."""


@dataclass(frozen=True)
class Crossover:
    """The two points between which the gain's interval stops lying above zero.

    `after` is the last point at which the gain's *uncorrected* 95 % interval lies above zero,
    `before` the next point. `value` is where the mean gain, linear between points, falls to zero.
    `low` to `high` contains every x from `after` on at which the gain is not distinguishable from
    zero, so beyond `high` the interval lies below zero. None where the points do not reach it.
    """

    kind: Kind
    after: float | None = None
    before: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    scope: str | None = None
    note: str = ""


def crossover(both: Both) -> Crossover:
    """Return where the gain's interval stops lying above zero, as a bracket."""
    signs = gain_signs(both)
    if all(sign is None for sign in signs):
        return Crossover("unknown", n=both.n, note="gains without intervals do not tell")
    helps = [i for i, sign in enumerate(signs) if sign == 1]
    hurt = _hurt(both, [float(x) for x, sign in zip(both.x, signs, strict=True) if sign == -1])
    if not helps:
        return Crossover("never helps", n=both.n, note=hurt)
    last = helps[-1]
    scope = scope_of(both.gain, both.scope)
    after = float(both.x[last])
    if last == len(signs) - 1:
        return Crossover("beyond", after, n=both.n, scope=scope, note=hurt)
    ends = [_ceases(both, last, which) for which in (0, None, 1)]
    return Crossover("between", after, float(both.x[last + 1]), ends[1], ends[0], ends[2],
                     both.n, scope, hurt)  # fmt: skip


def _hurt(both: Both, at: list[float]) -> str:
    """Return the note on where the gain's interval lies below zero; empty if nowhere."""
    if not at:
        return ""
    told = "the interval lies below zero at"
    if len(at) > MOST_NAMED:
        return (
            f"the interval lies below zero at {len(at)} of {len(both.x)} points, from {at[0]:g} on"
        )
    where = ", ".join(f"{x:g}" for x in at)
    return f"{told} {where}{f' {both.by}' if both.axis is Axis.LABELS else ' steps'}"


def gain_signs(both: Both) -> list[int | None]:
    """Return for each point 1 if its interval lies above zero, −1 below, 0 around it, else None."""
    found = (one.interval() for one in estimates(by_point(both.gain), both.scope))
    return [
        None if low is None or high is None else int(low > 0) - int(high < 0) for low, high in found
    ]


def _ceases(both: Both, start: int, which: int | None) -> float | None:
    """Return the first x after a point at which the gain, or an end of its interval, is zero.

    Args:
        both: the curves.
        start: the index of the point.
        which: 0 for the interval's lower end, 1 for the upper one, None for the mean.
    """
    sums = Mixtures(both.gain)

    def criterion(position: float) -> float | None:
        mix = both.mix_at(position)
        return sums.less(
            mix, which, 0.0, lambda: estimate(both.along(both.gain, position), both.scope)
        )

    end = first_not_above(criterion, both.where[start:])
    return None if end is None else both.axis.at(end)
