"""Additions: options that any gradient strategy can take, which change its phases."""

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
    """The part of a strategy that an addition uses."""

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
        """Yield all parameters of the strategy."""

    def inherited(self) -> Sequence[nn.Parameter]:
        """Return the backbone's parameters that come from the source."""

    def features(self, inputs: Inputs) -> Tensor:
        """Return the features that the head takes."""

    def predict(self, inputs: Inputs) -> Tensor:
        """Return the outputs that the task decodes."""


class Addition(ABC):
    """An option beside a strategy's own method, set by one constructor argument."""

    key: str
    """The name of that argument, the same for every strategy."""

    def why_not(self, needs: Needs) -> str:
        """Return why no strategy with these needs can take it; empty where some can."""
        return ""

    @abstractmethod
    def prepare(self, strategy: Composed, value: Any) -> None:
        """Make the modules and buffers it needs, after the strategy's own `build`.

        Raises:
            ImpossibleError: it does not apply to this strategy or this task.
        """

    def start_again(self, strategy: Composed) -> None:  # noqa: B027
        """Recompute what `prepare` derived from the backbone's weights; by default nothing."""

    @abstractmethod
    def phases(self, strategy: Composed, value: Any, phases: list[Phase]) -> list[Phase]:
        """Return the strategy's phases with the addition in them."""


def asked(strategy: Composed, additions: Sequence[Addition]) -> Iterator[tuple[Addition, Any]]:
    """Yield the additions whose argument is set, with their values, in order.

    Raises:
        ImpossibleError: the strategy's `closed_to` or its needs rule out one of them.
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
    """Return the error that says why an addition cannot be made."""
    return ImpossibleError(f"{key} cannot be added: {why}")


def own_learners(strategy: Composed) -> set[int]:
    """Return the `id`s of the parameters that learn in the strategy's own phases."""
    own = [phase for phase in strategy.phases() if phase.counts == "steps"]
    return {id(p) for phase in own for group in phase.learning() for p in group.parameters}
