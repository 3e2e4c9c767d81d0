"""What the stages of a cell hand to each other."""

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
    """What the trials of a cell are made of."""

    search: Search
    described: Config
    """The strategy's config."""
    start: Start | None
    """What each trial begins with: a copy of this."""
    held: View | None = None
    """What was held out for trials to be judged by; None for the validation part."""


@dataclass
class Setup:
    """A cell's parts, built and joined; nothing is trained yet."""

    target: OpenDomain
    drawn: Draw
    data: CellData
    strategy: Strategy
    backbone: Backbone | None
    preprocess: Preprocess
    source_card: dict[str, Any]
    """What is known of the source: its weights' fingerprint, how it was trained, notes."""
    source_copies: dict[str, Any] = field(default_factory=dict)
    """Test examples with copies in the source domain; empty where there is nothing to search."""
    tuned: Tuned | None = None
    """What its trials are made of; None for a cell that has one setting."""
    selecting: Selecting | None = None
    """What chooses its step without target labels; None: nobody does."""
    sources: tuple[Config, ...] = ()
    """The source domains that its batches come from, in their order."""
    sources_called: tuple[str, ...] = ()
    """What these are called, where they are several with names."""
    halvings: int = 0
    """How often the parts were doubled in which a batch is computed, for want of memory."""

    @property
    def judges(self) -> View | None:
        """What trials are scored on, if there is anything."""
        held = self.tuned.held if self.tuned else None
        return self.data.validation if held is None else held

    @property
    def can_choose(self) -> bool:
        """Whether there is anything to choose between settings by."""
        by_rule = self.selecting is not None and self.selecting.rule is not None
        return self.judges is not None or by_rule


@dataclass(frozen=True)
class Share:
    """What was trained of a cell beside other seeds of it.

    Attributes:
        state: that of its run after the last step; None: it is to be trained yet, and was only
            looked at.
        spent: its part of what all of them took; the training of a source is the first one's.
        cells: how many there were.
    """

    state: State | None
    spent: Spent
    cells: int


@dataclass
class Outcome:
    """What a trained strategy says of the cell's examples: (probabilities, labels) by part."""

    train: tuple[Tensor, Tensor] | None
    validation: tuple[Tensor, Tensor] | None
    test: tuple[Tensor, Tensor]
    flops: int
    seconds: float
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    """Those that predictions were made of, by part, (n, dim): not of the test examples."""
    others: tuple[OtherTask, ...] = ()
    """Scores of the tasks of source domains, on test parts of their own."""
