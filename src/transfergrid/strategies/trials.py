"""What a strategy is given that is made of a cell's trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Judge = Callable[[], float]
"""Scores the validation part by the strategy as it stands; higher is better."""


@dataclass(frozen=True)
class Member:
    """A trial that came to its end.

    Attributes:
        number: of the trial, from 0.
        score: on the validation part; higher is better, whatever the metric.
        state: `kept_state` of its strategy, at the step that validated best.
    """

    number: int
    score: float
    state: Mapping[str, Tensor]
