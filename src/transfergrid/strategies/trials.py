"""What `Strategy.blend` gets: a cell's finished trials, and a score to choose by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Judge = Callable[[], float]
"""Scores the strategy's current state on the validation part; higher is better."""


@dataclass(frozen=True)
class Member:
    """A trial that finished.

    Attributes:
        number: the trial's number, from 0.
        score: on the validation part; higher is better, whatever the metric.
        state: `kept_state` of the trial's strategy at its best step on the validation part.
    """

    number: int
    score: float
    state: Mapping[str, Tensor]
