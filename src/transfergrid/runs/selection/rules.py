"""The rules that choose a step without target labels, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch.nn.functional import cross_entropy

from transfergrid.runs.selection.bnm import nuclear_norm
from transfergrid.runs.selection.dev import density_ratios, embedded_risk
from transfergrid.runs.selection.entropy import mean_entropy
from transfergrid.runs.selection.information_maximization import information
from transfergrid.runs.selection.shown import Shown
from transfergrid.runs.selection.snd import neighbourhood_density
from transfergrid.runs.selection.source_validation import score_on_source


def _on_source(shown: Shown) -> float:
    assert shown.labels is not None
    return score_on_source(shown.held_out, shown.labels, shown.score)


def _risk(shown: Shown) -> float:
    assert shown.labels is not None
    seen = shown.embedded
    weights = density_ratios(seen["source"], seen["target"], seen["held_out"])
    losses = cross_entropy(shown.held_out, shown.labels, reduction="none").numpy()
    return embedded_risk(weights, np.asarray(losses, dtype=np.float64))


SCORES: dict[str, Callable[[Shown], float]] = {
    "source_validation": _on_source,
    "entropy": lambda shown: mean_entropy(shown.target),
    "information_maximization": lambda shown: information(shown.target),
    "snd": lambda shown: neighbourhood_density(shown.target),
    "bnm": lambda shown: nuclear_norm(shown.target),
    "dev": _risk,
}
"""By the names of `records.selection.RULES`, which says for each whether more or less is better."""
