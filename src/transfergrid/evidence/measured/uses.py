"""The cost of using an arm: its trainable parameters, and operations and time per prediction."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from transfergrid.evidence.measured.results import Result


@dataclass(frozen=True)
class Use:
    """The known costs; None if no record contains them."""

    trained: float | None = None
    """Number of parameters that receive a gradient."""
    flops: float | None = None
    """Floating-point operations to predict one example, over all networks involved."""
    seconds: float | None = None
    """Seconds to predict a single example."""

    def __bool__(self) -> bool:
        """Return whether any cost is known."""
        return self != NOTHING


NOTHING = Use()


def use_of(cells: Sequence[Result]) -> Use:
    """Return the costs of one arm: the median over its runs."""
    return _each(
        statistics.median,
        [Use(one.parameters_trained, one.flops_forward, one.seconds_forward) for one in cells],
    )


def largest(uses: Iterable[Use]) -> Use:
    """Return the largest value of each cost."""
    return _each(max, list(uses))


def _each(combine: Callable[[list[float]], float], uses: Sequence[Use]) -> Use:
    trained = [use.trained for use in uses if use.trained is not None]
    flops = [use.flops for use in uses if use.flops is not None]
    seconds = [use.seconds for use in uses if use.seconds is not None]
    return Use(*(combine(known) if known else None for known in (trained, flops, seconds)))
