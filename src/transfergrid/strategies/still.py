"""Which blocks of a backbone are frozen during a phase, so that their outputs can be cached."""

from __future__ import annotations

from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Phase


def still_blocks(strategy: Strategy, phase: Phase) -> int:
    """Return how many leading fine blocks of the backbone are frozen during the whole phase.

    Their outputs are the same at each step and can be cached. The number is derived from the
    parameters that learn, never declared. It is 0 if the phase says `cached=False`, and if only
    some blocks are frozen in a strategy that overrides `represent`.
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
