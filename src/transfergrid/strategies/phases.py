"""The phases of a training run, as data: which parameters learn from which losses, for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, Self

from torch import Tensor, nn

from transfergrid.data.batches import Batch, Labelled, StreamName
from transfergrid.data.inputs import Inputs

Loss = Callable[[Batch, float], Tensor]
"""The scalar loss of a batch; the second argument is progress from 0 to 1 over the phase."""
Combine = Callable[[list[list[Tensor]]], list[Tensor]]
"""From gradients by objective, then by parameter, to one gradient per parameter (gradient surgery).

The gradients it gets are unscaled: loss scaling for half precision has been undone."""
Rate = Callable[[int, int], float]
"""A multiple of the learning rate, given the step in the phase and the phase's number of steps."""
After = Callable[[int, int], None]
"""A hook after each step, given how many steps the phase has done and how many it has at most."""


class _Group(NamedTuple):
    name: str
    parameters: tuple[nn.Parameter, ...]
    factor: float | Callable[[], float] = 1.0
    decay: bool = True


class Group(_Group):
    """Parameters that learn at `factor` times the strategy's rate, with or without weight decay.

    Any iterable of parameters will do, such as a module's `parameters()`. A factor that changes is
    a function, called before each step. It must be the same function each time `phases` is called,
    and what it returns must be kept in a buffer.
    """

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        parameters: Iterable[nn.Parameter],
        factor: float | Callable[[], float] = 1.0,
        decay: bool = True,
    ) -> Self:
        """Store a tuple: an iterator would be empty when read again, and nothing would learn."""
        return super().__new__(cls, name, tuple(parameters), factor, decay)

    @property
    def factor_now(self) -> float:
        """The factor for the next step."""
        return self.factor() if callable(self.factor) else self.factor


class Objective(NamedTuple):
    """A loss, the groups that learn from it, and how many steps it takes on each batch.

    All other parameters keep their values in these steps.
    """

    loss: Loss
    learns: Sequence[Group]
    repeat: int = 1


class View(Protocol):
    """All examples of one stream, for computations between steps; on the strategy's device."""

    @property
    def labels(self) -> Tensor:
        """Class labels (n,) int64, or numbers (n, ...); empty where the stream has no labels."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def inputs(self) -> Inputs:
        """Return all inputs in order, not augmented, (n, ...)."""

    def batches(self) -> Iterator[Labelled]:
        """Yield all examples in batches, not augmented, where all at once would not fit in memory.

        They are shuffled; `rows` of a batch says which examples it has.
        """

    def features(self) -> Tensor:
        """Return the features of all examples by the current backbone, in eval mode: (n, dim)."""

    def outputs(self) -> Tensor:
        """Return the strategy's current predictions of all examples, in eval mode: (n, outputs)."""


class Data(Protocol):
    """The data that a strategy may read between steps; the test split is not among them.

    A stream is None, or an empty tuple, where the cell has none or the phase does not read it.
    """

    def by(self, strategy: Any) -> Data:
        """Return the streams as a teacher sees them: its features, its predictions."""

    @property
    def target(self) -> View | None:
        """The labelled training part of the target."""

    @property
    def unlabelled(self) -> View | None:
        """Target inputs without labels."""

    @property
    def source(self) -> tuple[View, ...]:
        """The labelled source domains."""

    @property
    def attributes(self) -> Tensor | None:
        """Descriptions of the target's classes, (classes, d)."""

    @property
    def named(self) -> View | None:
        """Texts that name the target's classes, one or more per class, labelled by class."""

    @property
    def described(self) -> tuple[Tensor, ...]:
        """For each source domain the descriptions of its classes, (its classes, d)."""


@dataclass(frozen=True)
class Dial:
    """A hyperparameter that acts after training: trying another value takes no training step.

    Each value is applied and scored on the validation part, and the best is kept. Among equal
    scores the value nearest to the default on the path wins; without a validation part the default
    is used. All that a value changes must be in the strategy's state, and must depend only on the
    value and on the state that `before` and the steps have left.

    Attributes:
        name: the constructor's argument.
        values: the path of values to try; a value that the user gave is the only one.
        put: applies a value to the strategy.
        default: one of the values.
        traced: whether the record keeps the loss on the training examples along the whole path;
            nothing is chosen by it.
    """

    name: str
    values: Sequence[float]
    put: Callable[[float], None]
    default: float
    traced: bool = False

    def nearest_first(self) -> list[float]:
        """Return the values by their distance from the default on the path, the default first."""
        home = self.values.index(self.default)
        places = sorted(range(len(self.values)), key=lambda place: abs(place - home))
        return [self.values[place] for place in places]


@dataclass(frozen=True)
class Phase:
    """A part of a cell's training with its own streams and objectives.

    A phase without objectives takes no step. Parameters that are in no objective are frozen, and
    modules in which nothing learns are in eval mode. Each objective takes its own step on a batch,
    one after the other, unless `combine` makes one step of all.

    Attributes:
        name: for logs and errors.
        objectives: the losses that are minimised, each with the groups that learn from it.
        share: the phase's share of the steps that all arms share. If the shares of a strategy's own
            phases sum to 1, it takes as many steps as every other arm.
        reads: the streams in the batches; a stream that is not read is absent from them.
        before: runs before the first step, to compute anchors, memory banks, pseudo labels, closed
            forms or averages. The seed block fixes whatever it draws at random.
        every: `before` runs again each time this share of the phase is done; None: it runs once.
        after: runs after each step, without gradients: running means of weights, momentum encoders.
        combine: makes one gradient of the gradients of all objectives.
        until: whether to end the phase early. It is called after each step with the losses of all
            steps so far, as scalars; `share` is then an upper bound.
        schedule: the phase's own schedule: the name of a shared one, or a function of step and
            number of steps. None keeps the strategy's.
        lr_factor: factor on the shared learning rate; None keeps the strategy's.
        cached: set False where something other than `features` reads the inputs, such as a second
            network: outputs of frozen blocks are then not cached.
        carries_on: whether the optimiser keeps its state from the phase before, or starts afresh.
        predicts: the function whose predictions are scored on the validation part in this phase;
            None: the strategy's `predict`. Where it differs from the phase before, the best step so
            far is restored first.
        dial: in a phase without objectives, a hyperparameter that is chosen after `before`.
        judged: set False where no step may be chosen by the validation part, such as in learning
            without labels under an untrained head: the phase is not validated.
        counts: whether its steps count as the strategy's own or as a teacher's.
        episode: ways, shots, and queries per class of the episodes in the stream `episode`.
    """

    name: str
    objectives: Sequence[Objective] = ()
    share: float = 1.0
    reads: Sequence[StreamName] = ("target",)
    before: Callable[[Data], None] | None = None
    every: float | None = None
    after: After | None = None
    combine: Combine | None = None
    until: Callable[[Sequence[Tensor]], bool] | None = None
    schedule: str | Rate | None = None
    lr_factor: float | None = None
    cached: bool = True
    carries_on: bool = False
    predicts: Callable[[Inputs], Tensor] | None = None
    dial: Dial | None = None
    judged: bool = True
    counts: Literal["steps", "teacher"] = "steps"
    episode: tuple[int, int, int] = (5, 1, 15)

    @property
    def optimiser_steps(self) -> int:
        """The number of optimiser steps on each batch."""
        return 1 if self.combine is not None else sum(o.repeat for o in self.objectives)

    def learning(self) -> list[Group]:
        """Return each group that has parameters once, by name."""
        groups = {g.name: g for o in self.objectives for g in o.learns if g.parameters}
        return list(groups.values())


class Other(NamedTuple):
    """A trained strategy's predictor for a task that it learned beside the target or before it.

    Attributes:
        domain: index of the source domain that has this task.
        predicts: from inputs to that task's outputs.
        after: name of what had been learned when it predicts, where it is not the final state that
            predicts; empty: everything.
    """

    domain: int
    predicts: Callable[[Inputs], Tensor]
    after: str = ""


def in_one_run(phases: Sequence[Phase], schedule: Callable[[float], float]) -> list[Phase]:
    """Return the phases sharing one optimiser and one run of a schedule, as if they were one phase.

    Args:
        phases: consecutive phases.
        schedule: multiple of the learning rate, by progress from 0 to 1 over all of them.
    """
    total, begin = sum(phase.share for phase in phases), 0.0
    found: list[Phase] = []
    for phase in phases:
        own = partial(_stretched, schedule, begin / total, phase.share / total)
        found.append(replace(phase, schedule=own, carries_on=bool(found)))
        begin += phase.share
    return found


def _stretched(
    schedule: Callable[[float], float], begin: float, share: float, step: int, steps: int
) -> float:
    return schedule(begin + share * step / steps)


def lengths(phases: Sequence[Phase], steps: int) -> list[int]:
    """Return how many steps each phase may take.

    Rounding is applied to the cumulative ends of phases, so that no step is lost.

    Args:
        phases: the phases of one strategy, in order.
        steps: the number of steps that all arms share.
    """
    shares = {"steps": 0.0, "teacher": 0.0}
    found = []
    for phase in phases:
        begin = shares[phase.counts]
        if phase.objectives:
            shares[phase.counts] += phase.share
        found.append(round(shares[phase.counts] * steps) - round(begin * steps))
    return found
