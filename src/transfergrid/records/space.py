"""Search spaces of a strategy's hyperparameters, and their defaults without a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

DECADE = 10.0


@dataclass(frozen=True)
class Range:
    """The search range of a hyperparameter, and its value without a search.

    Args:
        low: the smallest value.
        high: the largest value.
        log: whether values are drawn uniformly in the logarithm.
        default: the paper's value, or a value that a log of ours found; None if the method chooses
            the value by itself, for example from its training examples.
        under: other defaults, by the kind of training (`about.kind` of its YAML).
        as_baseline: whether the value is always that of the strategy's baselines, because the
            strategy becomes its baseline once its own term is 0; both are then tuned together.
        around: a factor: the search goes from default / factor to default * factor, with the
            default of the current kind of training; `low` and `high` then bound all kinds.
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
        """Whether the values are whole numbers: both ends and the default are of type int."""
        return all(type(value) is int for value in (self.low, self.high, self.default))

    def at(self, share: float) -> float:
        """Return the value at a share of the way from `low` to `high`, on the range's scale.

        For whole numbers each value from `low` to `high` gets its own interval of shares.

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
    """Return the range of a learning-rate factor: a decade to each side of each default."""
    known = (default, *under.values())
    low, high = min(known) / DECADE, max(known) * DECADE
    return Range(low, high, True, default, under, as_baseline, DECADE)


Space: TypeAlias = Mapping[str, Range]
"""The tunable hyperparameters, by the name of the constructor's argument."""
