"""What happens in time, as data: who learns from what, how often, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, Self

from torch import Tensor, nn

from transfergrid.data.batches import Batch, Labelled, StreamName
from transfergrid.data.inputs import Inputs

Loss = Callable[[Batch, float], Tensor]
"""A scalar of one batch; the second argument runs from 0 to 1 in its phase."""
Combine = Callable[[list[list[Tensor]]], list[Tensor]]
"""Gradients by objective, then by parameter, into one gradient a parameter (gradient surgery).

They are the losses' own, whatever a scaler of half precision makes of them."""
Rate = Callable[[int, int], float]
"""A multiple of the learning rate at a step of a phase, given how many the phase has."""
After = Callable[[int, int], None]
"""What follows a step, given how many steps of the phase are done and how many it has at most."""


class _Group(NamedTuple):
    name: str
    parameters: tuple[nn.Parameter, ...]
    factor: float | Callable[[], float] = 1.0
    decay: bool = True


class Group(_Group):
    """Parameters that learn at `factor` times the strategy's rate, decayed or not.

    They come as any iterable, such as a module's `parameters()`. A factor that changes is a
    function, always the same one, asked before each step; what it tells lives in a buffer.
    """

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        parameters: Iterable[nn.Parameter],
        factor: float | Callable[[], float] = 1.0,
        decay: bool = True,
    ) -> Self:
        """Keep a tuple: an iterator would be empty when asked again, and nothing would learn."""
        return super().__new__(cls, name, tuple(parameters), factor, decay)

    @property
    def factor_now(self) -> float:
        """The factor at the step to come."""
        return self.factor() if callable(self.factor) else self.factor


class Objective(NamedTuple):
    """A loss and who learns from it, `repeat` times a batch; all others stand still."""

    loss: Loss
    learns: Sequence[Group]
    repeat: int = 1


class View(Protocol):
    """All examples of one stream, for what is computed between steps; on the strategy's device."""

    @property
    def labels(self) -> Tensor:
        """(n,) int64 of classes, or numbers (n, ...); empty where the stream has none."""

    def __len__(self) -> int:
        """Return how many there are."""

    def inputs(self) -> Inputs:
        """Return all inputs in order, not augmented, (n, ...)."""

    def batches(self) -> Iterator[Labelled]:
        """Yield all examples in batches, not augmented, for a pass over what is large.

        They come in an order of their own; `rows` says which they are.
        """

    def features(self) -> Tensor:
        """Return them embedded by the backbone as it stands, in eval mode: (n, dim)."""

    def outputs(self) -> Tensor:
        """Return what the strategy predicts as it stands, in eval mode: (n, outputs)."""


class Data(Protocol):
    """What a strategy may look at between steps; None where the cell or the phase has none.

    The test split is not in it.
    """

    def by(self, strategy: Any) -> Data:
        """Return the same streams as a teacher takes them, embedded and predicted by it."""

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
        """Texts of the target's classes, one or more of each, labelled by their class."""

    @property
    def described(self) -> tuple[Tensor, ...]:
        """Descriptions of the classes of each source domain, (its classes, d)."""


@dataclass(frozen=True)
class Dial:
    """A hyperparameter that acts after training: another value of it takes no step.

    Each value is put and the validation part scored; the best is kept, of equals the one nearest
    the default on the path. Where nothing validates the default is put. Whatever a value changes is
    in the strategy's state, and follows from what `before` and the steps have left there.

    Attributes:
        name: the constructor's argument.
        values: along the path; one that was typed stands alone.
        put: gives the strategy a value.
        default: one of the values.
        traced: whether the record tells the loss on the training examples along the whole path,
            by which nothing is chosen.
    """

    name: str
    values: Sequence[float]
    put: Callable[[float], None]
    default: float
    traced: bool = False

    def nearest_first(self) -> list[float]:
        """Return the values, the default first and then those that stand nearest to it."""
        home = self.values.index(self.default)
        places = sorted(range(len(self.values)), key=lambda place: abs(place - home))
        return [self.values[place] for place in places]


@dataclass(frozen=True)
class Phase:
    """A stretch of a cell's steps with its own streams and objectives; without objectives, no step.

    What is in no objective is frozen, in eval mode. Objectives take turns on one batch, a step
    each, unless `combine` makes one step of them.

    Attributes:
        name: for logs and errors.
        objectives: what is minimised, by whom.
        share: of the shared steps. If all shares of a strategy's own phases make 1 it takes as
            many steps as every other arm.
        reads: the streams in its batches; a stream that is not read is absent from them.
        before: computed ahead of the first step: anchors, memory banks, pseudo labels, closed
            forms, averages. Whatever it draws at random is fixed by the seed block.
        every: `before` runs again after each such share of the phase; None: once.
        after: follows each step, without gradients: running means of weights, momentum encoders.
        combine: makes one gradient of those of all objectives.
        until: ends the phase early, given the losses of its steps so far, scalars, and asked after
            each of them; `share` is then the most it may take.
        schedule: where the phase brings its own: a shared schedule's name, or a function of step
            and number of steps; None keeps the strategy's.
        lr_factor: of the shared rate; None keeps the strategy's.
        cached: False where something beside `features` reads the inputs, such as a second network.
        carries_on: whether the optimiser goes on from the phase before; else it starts afresh.
        predicts: what a validation part is scored by in this phase; None: the strategy's `predict`.
            Where it changes from phase to phase, the best step so far is taken first.
        dial: of a phase without objectives, a hyperparameter that is chosen once `before` has run.
        judged: False where nothing that it does is to be chosen by the validation part, such as
            learning without labels under a head that knows nothing yet: it is not looked at.
        counts: what its steps count as: the strategy's own, or a teacher's.
        episode: ways, shots and queries a class of what the stream `episode` gives.
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
        """How many steps the optimiser takes on each batch."""
        return 1 if self.combine is not None else sum(o.repeat for o in self.objectives)

    def learning(self) -> list[Group]:
        """Return each group once, those without parameters left out."""
        groups = {g.name: g for o in self.objectives for g in o.learns if g.parameters}
        return list(groups.values())


class Other(NamedTuple):
    """What a trained strategy says of a task that it learned beside the target, or before it.

    Attributes:
        domain: number of the source domain, whose task it is.
        predicts: outputs of that task, of inputs.
        after: name of what had been learned by then; empty: all.
    """

    domain: int
    predicts: Callable[[Inputs], Tensor]
    after: str = ""


def in_one_run(phases: Sequence[Phase], schedule: Callable[[float], float]) -> list[Phase]:
    """Let phases share one optimiser and one run of a schedule, as if they were one phase.

    Args:
        phases: that follow each other.
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
    """Return how many steps each phase may take; ends are rounded, so that no step is lost.

    Args:
        phases: of one strategy, in order.
        steps: that all arms share.
    """
    shares = {"steps": 0.0, "teacher": 0.0}
    found = []
    for phase in phases:
        begin = shares[phase.counts]
        if phase.objectives:
            shares[phase.counts] += phase.share
        found.append(round(shares[phase.counts] * steps) - round(begin * steps))
    return found
