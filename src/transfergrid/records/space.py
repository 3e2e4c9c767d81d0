"""Where a strategy's hyperparameters are looked for, and what they are without a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

DECADE = 10.0


@dataclass(frozen=True)
class Range:
    """Where a hyperparameter is looked for, and what it is without a search.

    Args:
        low: the smallest value.
        high: the largest one.
        log: whether the search is even in the logarithm.
        default: the paper's value, or the one that a log of ours found; None where the method
            chooses by itself, as from its training examples.
        under: other defaults, by the kind of training (`about.kind` of its YAML).
        as_baseline: whether it is always the value of the strategy's baselines, because the
            strategy is one of them as soon as its own term is 0; then they are tuned as one.
        around: it is searched from its default divided by this to its default times this, the one
            of the kind of training at hand; `low` and `high` are then the ends over all kinds.
    """

    low: float
    high: float
    log: bool = True
    default: float | None = 1.0
    under: Mapping[str, float] = field(default_factory=dict)
    as_baseline: bool = False
    around: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is of whole numbers: both ends are, and so is the default."""
        return all(type(value) is int for value in (self.low, self.high, self.default))

    def at(self, share: float) -> float:
        """Return the value at a share of the way from low to high; whole ones share it out.

        Args:
            share: from 0 to 1.
        """
        end = self.high + 1 if self.is_whole else self.high
        way = (
            (end / self.low) ** share * self.low
            if self.log
            else self.low + (end - self.low) * share
        )
        inside = min(max(way, self.low), self.high)
        return int(inside) if self.is_whole else float(inside)


def rates(default: float, *, as_baseline: bool = False, **under: float) -> Range:
    """Return the space of a learning-rate factor: two decades around each of its defaults."""
    known = (default, *under.values())
    low, high = min(known) / DECADE, max(known) * DECADE
    return Range(low, high, True, default, under, as_baseline, DECADE)


Space: TypeAlias = Mapping[str, Range]
"""What may be tuned, by the constructor's argument."""
