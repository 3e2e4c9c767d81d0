"""An arm and its baseline, paired by seed block: what a verdict is given on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.arms import Key
from transfergrid.evidence.families import Family, kind_of
from transfergrid.evidence.gains import block_gains, estimated
from transfergrid.evidence.outcomes import Read
from transfergrid.evidence.results import Result
from transfergrid.evidence.statistics.intervals import (
    THESE_MODELS,
    THIS_MODEL,
    THIS_TEST_SET,
    Estimate,
)
from transfergrid.evidence.statistics.skew import is_constant


@dataclass
class Comparison:
    """An arm and its baseline, paired by seed block."""

    key: Key
    cells: list[Result]
    baseline: str
    """What tables call it."""
    reference: str
    """What the cells call it."""
    pairs: list[tuple[Result, Result]]
    baselines: list[Result]
    read: Read | None
    fallen: Mapping[str, float]
    """The runs that fell; see there."""

    @property
    def family(self) -> Family:
        """What it is corrected with."""
        return Family(self.key[0].target, self.key[1], self.reference, self.kind)

    @property
    def kind(self) -> str:
        """Whether it shows transfer, a placebo, or an arm that has no source."""
        return kind_of(self.cells[0])

    @cached_property
    def gains(self) -> NDArray[np.float64]:
        """The gain of each block, in points."""
        return block_gains(self.pairs) if self.pairs else np.empty(0)

    @cached_property
    def estimate(self) -> Estimate:
        """The mean gain with its error; without a pair it is of nothing.

        Of deterministic models it speaks of new test items alone.
        """
        if not self.pairs:
            return Estimate(float("nan"), None, None, THIS_MODEL, 0)
        found = estimated(self.pairs, self.read)
        by_items = self.is_deterministic and found.scope != THIS_TEST_SET
        return replace(found, scope=THESE_MODELS) if by_items else found

    @property
    def is_constant(self) -> bool:
        """Whether all of several seeds have the same gain."""
        return is_constant(self.gains)

    @property
    def is_deterministic(self) -> bool:
        """Whether each side scores the same in all of several seeds."""
        sides = ([cell.score or 0.0 for cell in side] for side in zip(*self.pairs, strict=True))
        return bool(self.pairs) and all(is_constant(np.array(scores)) for scores in sides)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each pair."""
        return tuple(cell.seed for cell, _ in self.pairs)

    def without_flagged(self) -> Comparison:
        """Return it less the pairs with a run that is flagged or fell, be there others or not."""
        rest = [pair for pair in self.pairs if not any(map(self._is_flagged, pair))]
        return replace(self, pairs=rest) if len(rest) < len(self.pairs) else self

    def _is_flagged(self, cell: Result) -> bool:
        return cell.bears_flag or cell.id in self.fallen
