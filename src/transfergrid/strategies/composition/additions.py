"""The additions that there are, and what they make of a strategy's phases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.data.task import Task
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.needs import Needs
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.phases import Phase


class Composed(Protocol):
    """A strategy, as far as an addition looks at it."""

    needs: ClassVar[Needs]
    closed_to: ClassVar[Mapping[str, str]]
    hparams: dict[str, Any]
    backbone: Backbone
    head: nn.Module
    task: Task
    source_tasks: tuple[Task, ...]
    scaffold: nn.ModuleDict

    def phases(self) -> Sequence[Phase]:
        """Return the strategy's own phases."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield all of its parameters."""

    def inherited(self) -> Sequence[nn.Parameter]:
        """Return the backbone's parameters that the source gave."""

    def features(self, inputs: Inputs) -> Tensor:
        """Return what the head is put on."""

    def predict(self, inputs: Inputs) -> Tensor:
        """Return what the task decodes."""


class Addition(ABC):
    """Something that a strategy does beside its own, asked for by one key."""

    key: str
    """The argument of every strategy that asks for it."""

    def why_not(self, needs: Needs) -> str:
        """Return why no strategy of such needs can have it; empty where some can."""
        return ""

    @abstractmethod
    def prepare(self, strategy: Composed, value: Any) -> None:
        """Make what it needs, once the strategy is built.

        Raises:
            ImpossibleError: it makes no sense with this strategy, or this task.
        """

    def start_again(self, strategy: Composed) -> None:  # noqa: B027
        """Take anew what `prepare` took of the backbone's weights; most take nothing."""

    @abstractmethod
    def phases(self, strategy: Composed, value: Any, phases: list[Phase]) -> list[Phase]:
        """Return what becomes of the strategy's phases."""


def asked(strategy: Composed, additions: Sequence[Addition]) -> Iterator[tuple[Addition, Any]]:
    """Yield the additions that were asked for, with their values, in order.

    Raises:
        ImpossibleError: the strategy says that it cannot take one, or its needs do.
    """
    for addition in additions:
        value = strategy.hparams.get(addition.key)
        if value is None:
            continue
        why = strategy.closed_to.get(addition.key) or addition.why_not(strategy.needs)
        if why:
            raise refusal(addition.key, why)
        yield addition, value


def refusal(key: str, why: str) -> ImpossibleError:
    """Return the error that says why something cannot be added."""
    return ImpossibleError(f"{key} cannot be added: {why}")


def own_learners(strategy: Composed) -> set[int]:
    """Return who learns in the strategy's own phases, as `id`s of parameters."""
    own = [phase for phase in strategy.phases() if phase.counts == "steps"]
    return {id(p) for phase in own for group in phase.learning() for p in group.parameters}
