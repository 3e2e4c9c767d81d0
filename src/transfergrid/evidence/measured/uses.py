"""What an arm costs whoever uses it: parameters that learn, operations and time of a prediction."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from transfergrid.evidence.measured.results import Result


@dataclass(frozen=True)
class Use:
    """What is known of it; None where no record says."""

    trained: float | None = None
    """Parameters that a gradient reaches."""
    flops: float | None = None
    """Floating-point operations to predict one example, of all networks that take part."""
    seconds: float | None = None
    """To predict one example by itself."""

    def __bool__(self) -> bool:
        """Return whether anything is known."""
        return self != NOTHING


NOTHING = Use()


def use_of(cells: Sequence[Result]) -> Use:
    """Return what runs of one arm cost: the median over them."""
    return _each(
        statistics.median,
        [Use(one.parameters_trained, one.flops_forward, one.seconds_forward) for one in cells],
    )


def largest(uses: Iterable[Use]) -> Use:
    """Return the most of each."""
    return _each(max, list(uses))


def _each(combine: Callable[[list[float]], float], uses: Sequence[Use]) -> Use:
    trained = [use.trained for use in uses if use.trained is not None]
    flops = [use.flops for use in uses if use.flops is not None]
    seconds = [use.seconds for use in uses if use.seconds is not None]
    return Use(*(combine(known) if known else None for known in (trained, flops, seconds)))
