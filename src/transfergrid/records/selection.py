"""Rules that choose a step without target labels, and what they found at each look at a run.

This module needs no torch; the rules are computed in `runs.selection`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

RuleName = Literal["source_validation", "entropy", "information_maximization", "snd", "bnm", "dev"]
RULES: tuple[RuleName, ...] = get_args(RuleName)
ChosenBy = Literal["validation", "last_step", "closed_form"] | RuleName
LOWER = frozenset({"entropy", "dev"})
"""Rules for which a lower value is better."""
OF_SOURCE = frozenset({"source_validation", "dev"})
"""Rules that use source examples held out of training."""
KEYS = ("selection", "oracle")
"""Keys of a training that only affect cells without target labels."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a run, after one of its steps: the values of the rules there."""

    step: Annotated[int, "batches seen by then"]
    scores: Annotated[
        dict[str, float | None],
        "by rule; null where it is not defined. Of entropy and dev less is better",
    ] = field(default_factory=dict)
    largest_share: Annotated[
        float | None, "share of the class that was predicted most often, of target inputs"
    ] = None
    oracle: Annotated[
        float | None,
        "the test score, by the metric that decides, where `training.oracle` asked for it: nothing "
        "is chosen by it",
    ] = None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How a step was chosen in a cell without target labels."""

    rule: Annotated[str | None, "`training.selection`; null: the last step was kept"] = None
    target: Annotated[int, "target inputs that were looked at"] = 0
    source: Annotated[int, "source examples held out of training to be looked at"] = 0
    looks: Annotated[tuple[Look, ...], "in the order of their steps"] = ()

    def by(self, rule: str | None) -> Look | None:
        """Return the look that a rule would choose, the first one on a tie.

        Args:
            rule: one of `RULES`; None for the last look.

        Returns:
            None if no look has a value for the rule.
        """
        if rule is None:
            return self.looks[-1] if self.looks else None
        found: tuple[Look, float] | None = None
        for look in self.looks:
            value = look.scores.get(rule)
            if value is not None and (found is None or better(rule, value, found[1])):
                found = look, value
        return found[0] if found is not None else None


def better(rule: str, one: float, other: float) -> bool:
    """Return whether `one` is strictly better than `other` by a rule; NaN is never better."""
    if math.isnan(one):
        return False
    if math.isnan(other):
        return True
    return one < other if rule in LOWER else one > other
