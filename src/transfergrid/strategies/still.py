"""Which blocks of a backbone stand still while a phase runs."""

from __future__ import annotations

from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Phase


def still_blocks(strategy: Strategy, phase: Phase) -> int:
    """Return how many leading fine blocks of the backbone stand still in the whole phase.

    What they give is the same at each step: derived from who learns, never declared.
    """
    if not phase.cached or not isinstance(getattr(strategy, "backbone", None), Backbone):
        return 0
    learning = {id(p) for group in phase.learning() for p in group.parameters}
    named = dict(strategy.backbone.named_parameters())
    blocks = strategy.backbone.blocks("fine")
    moving = (
        i for i, b in enumerate(blocks) if any(id(named[n]) in learning for n in b.parameters)
    )
    still = next(moving, len(blocks))
    return still if still == len(blocks) or not strategy.representation else 0
