"""The list of all additions that a gradient strategy can take, one constructor argument each."""

from __future__ import annotations

from transfergrid.strategies.composition.additions import Addition
from transfergrid.strategies.composition.l2_sp import PulledToStart
from transfergrid.strategies.composition.label_smoothing import SmoothedLabels
from transfergrid.strategies.composition.layer_decay import FallingRates
from transfergrid.strategies.composition.probe_first import ProbedHead
from transfergrid.strategies.composition.weight_averaging import AveragedWeights

ADDITIONS: tuple[Addition, ...] = (
    SmoothedLabels(),
    FallingRates(),
    PulledToStart(),
    AveragedWeights(),
    ProbedHead(),
)
"""In the order in which they are applied."""
