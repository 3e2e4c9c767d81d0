"""The objects that the stages of a cell (set up, learn, judge) hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from transfergrid.data.budgets import Draw
from transfergrid.data.inputs import Preprocess
from transfergrid.data.opened import OpenDomain
from transfergrid.data.streams import CellData
from transfergrid.data.views import View
from transfergrid.records.factory import Config
from transfergrid.records.record import OtherTask
from transfergrid.runs.cost import Spent
from transfergrid.runs.starting import Start
from transfergrid.runs.states import State
from transfergrid.runs.tuning.searches import Search
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Strategy

if TYPE_CHECKING:
    from transfergrid.runs.selection.selecting import Selecting


@dataclass
class Tuned:
    """What the trials of a tuned cell need."""

    search: Search
    described: Config
    """The strategy's config."""
    start: Start | None
    """The networks that each trial begins with a copy of."""
    held: View | None = None
    """Examples held out to score the trials on; None: the validation part scores them."""


@dataclass
class Setup:
    """A cell's parts, built and joined, before training."""

    target: OpenDomain
    drawn: Draw
    data: CellData
    strategy: Strategy
    backbone: Backbone | None
    preprocess: Preprocess
    source_card: dict[str, Any]
    """What is known of the source: its weights' fingerprint, how it was trained, notes."""
    source_copies: dict[str, Any] = field(default_factory=dict)
    """Counts of test examples with copies in the source domain; empty if nothing was searched."""
    tuned: Tuned | None = None
    """What the trials need; None for a cell with one setting."""
    selecting: Selecting | None = None
    """Chooses the step without target labels; None: no such choice is made."""
    sources: tuple[Config, ...] = ()
    """The source domains that batches are drawn from, in their order."""
    sources_called: tuple[str, ...] = ()
    """The names of these domains, where there are several and they have names."""
    halvings: int = 0
    """How often the number of parts of a batch was doubled because memory ran out."""

    @property
    def judges(self) -> View | None:
        """The examples that trials are scored on; None if there are none."""
        held = self.tuned.held if self.tuned else None
        return self.data.validation if held is None else held

    @property
    def can_choose(self) -> bool:
        """Whether settings can be compared: by validation or held-out labels, or by a rule."""
        by_rule = self.selecting is not None and self.selecting.rule is not None
        return self.judges is not None or by_rule


@dataclass(frozen=True)
class Share:
    """What was trained of one cell when several of its seeds were trained side by side.

    Attributes:
        state: the state of its run after the last step; None: it was set up, but not trained yet.
        spent: its part of what all the seeds took; the first seed pays for training the source.
        cells: how many seeds were trained side by side.
    """

    state: State | None
    spent: Spent
    cells: int


@dataclass
class Outcome:
    """What a trained strategy predicts for each part: (decoded predictions, labels)."""

    train: tuple[Tensor, Tensor] | None
    validation: tuple[Tensor, Tensor] | None
    test: tuple[Tensor, Tensor]
    flops: int
    seconds: float
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    """The embeddings that predictions were made from, by part, (n, dim); none of test examples."""
    others: tuple[OtherTask, ...] = ()
    """Scores on the source domains' own tasks, on the domains' own test parts."""
