"""A driver that records what a strategy does in a run, and raises `Broken` at broken rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch, Labelled
from transfergrid.runs.driver import Driver
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import After, Combine, Data, Loss, Objective, Phase
from transfergrid.testing.found import expect

STREAMS = tuple(f.name for f in fields(Batch))


@dataclass
class Notes:
    """What was recorded of a run.

    Attributes:
        begun: names and shapes of the state right after `attach`.
        made: the parameters right after `attach`, by name.
        starts: state at the start of each phase that has steps, by the phase's number.
        batches: for each batch: number of its phase, its number among steps of the same `counts`,
            the batch.
        moved: frozen tensors that changed all the same, with the phase's name.
        awake: layers that were in training mode although nothing in them learns.
        phases: the phases that the driver got.
    """

    begun: dict[str, torch.Size] = field(default_factory=dict)
    made: dict[str, nn.Parameter] = field(default_factory=dict)
    starts: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    batches: list[tuple[int, int, Batch]] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    awake: set[str] = field(default_factory=set)
    phases: list[Phase] = field(default_factory=list)


class WatchedBatch(Batch):
    """A batch that records which absent streams are read."""

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name in STREAMS and _absent(value):
            object.__getattribute__(self, "__dict__").setdefault("missed", set()).add(name)
        return value

    @override
    def labelled(self) -> Labelled:
        return _plain(self).labelled()

    @property
    @override
    def size(self) -> int:
        return _plain(self).size


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and not value)


def _plain(batch: Batch) -> Batch:
    own = object.__getattribute__(batch, "__dict__")
    return Batch(**{name: own[name] for name in STREAMS})


class WatchedData:
    """A proxy of the data that `before` gets, which records which absent streams are read."""

    def __init__(self, inner: Data) -> None:
        self.inner, self.missed = inner, set[str]()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if name in STREAMS and _absent(value):
            self.missed.add(name)
        return value


class WatchedDriver(Driver):
    """Runs a strategy like any driver, and records `notes`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.notes = Notes({k: v.shape for k, v in self.strategy.state_dict().items()})
        self.notes.made = dict(self.strategy.named_parameters())
        self.notes.phases = list(self.phases)
        self.phases = [self._watched(phase) for phase in self.phases]
        self.still: dict[str, Tensor] = {}

    def _watched(self, phase: Phase) -> Phase:
        objectives = [
            Objective(self._watched_loss(o.loss, phase), o.learns, o.repeat)
            for o in phase.objectives
        ]
        before = _watched_before(phase.before, phase) if phase.before is not None else None
        combine = _watched_combine(phase.combine, phase) if phase.combine is not None else None
        after = self._watched_after(phase) if phase.after is not None else None
        return replace(phase, objectives=objectives, before=before, after=after, combine=combine)

    def _watched_after(self, phase: Phase) -> After:
        def watched(step: int, steps: int) -> None:
            assert phase.after is not None
            phase.after(step, steps)
            self.still = standing(self.strategy, phase, self.phases)

        return watched

    def _watched_loss(self, loss: Loss, phase: Phase) -> Loss:
        def watched(batch: Batch, progress: float) -> Tensor:
            self.notes.awake |= awake(self.strategy, phase)
            seen = WatchedBatch(**vars(batch))
            with _telling(f"a loss of phase {phase.name!r} reads batch", seen):
                found = loss(seen, progress)
            check_loss(found, f"a loss of phase {phase.name!r} at progress {progress:.2f}")
            return found

        return watched

    @override
    def begin_of(self, phase: Phase) -> int:
        if not self.first:  # no step is done: the phase is about to begin
            self.notes.starts[self.number] = _copy(self.strategy.state_dict())
            self.still = standing(self.strategy, phase, self.phases)
        return super().begin_of(phase)

    @override
    def prepare(self, phase: Phase, step: int) -> None:
        super().prepare(phase, step)
        self.still = standing(self.strategy, phase, self.phases)

    @override
    def note(self, phase: Phase, batch: Batch, loss: Tensor) -> None:
        place = self.begin_of_batch(phase)
        self.notes.batches.append((self.number, place, batch))
        now = tensors_of(self.strategy)
        for name, before in self.still.items():
            if name not in now or not torch.equal(before, now[name]):
                self.notes.moved.setdefault(name, phase.name)
        super().note(phase, batch, loss)

    def begin_of_batch(self, phase: Phase) -> int:
        """Return the number of the current batch, among steps of the same `counts`."""
        return self.taken["teacher"] if phase.counts == "teacher" else self.curves.step


class _telling:  # noqa: N801
    """Replace a crash that follows from reading an absent stream by `Broken`, naming the stream."""

    def __init__(self, where: str, seen: object) -> None:
        self.where, self.seen = where, seen

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Raise `Broken` instead of the crash."""
        missed = sorted(vars(self.seen).get("missed", ()))
        if missed and isinstance(error, (TypeError, AttributeError, IndexError)):
            expect(
                False,
                f"{self.where}.{missed[0]}, which is absent, and raises "
                f"{type(error).__name__}: {error}",
                "Name the stream in the phase's reads and declare it in needs, in class and YAML; "
                "labels that are optional may be absent",
                "reads_only_what_it_declares",
            )


def _watched_before(before: Callable[[Data], None], phase: Phase) -> Callable[[Data], None]:
    def watched(data: Data) -> None:
        seen = WatchedData(data)
        with _telling(f"before of phase {phase.name!r} reads data", seen):
            before(seen)

    return watched


def _watched_combine(combine: Combine, phase: Phase) -> Combine:
    def watched(gradients: list[list[Tensor]]) -> list[Tensor]:
        wanted = [part.shape for part in gradients[0]]
        made = combine(gradients)
        shapes = [part.shape for part in made] if isinstance(made, list) else None
        expect(
            shapes == wanted and all(bool(part.isfinite().all()) for part in made),
            f"combine of phase {phase.name!r} makes "
            f"{'no list' if shapes is None else f'{len(shapes)} gradients'} of {len(wanted)}, or "
            "some of another shape, or not finite ones",
            "Return a list with one finite gradient a parameter, in the order and the shapes that "
            "came",
            "combine_keeps_shapes",
        )
        return made

    return watched


def check_loss(loss: object, where: str) -> None:
    """Raise `Broken` unless this is one finite number with a gradient."""
    rule = "loss_is_a_finite_scalar"
    expect(isinstance(loss, Tensor), f"{where} is a {type(loss).__name__}", "Return a tensor", rule)
    assert isinstance(loss, Tensor)
    expect(
        loss.ndim == 0,
        f"{where} has the shape {tuple(loss.shape)}",
        "Reduce it to one number, usually by the mean over the batch",
        rule,
    )
    expect(
        bool(torch.isfinite(loss)),
        f"{where} is {loss.item()}",
        "Look for a logarithm or a division by zero; clamp, or use the log_softmax forms",
        rule,
    )
    expect(
        loss.requires_grad,
        f"{where} has no gradient",
        "Compute it from what its objective lets learn, not under no_grad nor from detached "
        "tensors; a phase without objectives takes no step",
        rule,
    )


# What is frozen ---------------------------------------------------------------------------------


def tensors_of(strategy: Strategy) -> dict[str, Tensor]:
    """Return a strategy's parameters and buffers by name."""
    return {**dict(strategy.named_parameters()), **dict(strategy.named_buffers())}


def standing(strategy: Strategy, phase: Phase, phases: Sequence[Phase]) -> dict[str, Tensor]:
    """Return copies of all tensors, by name, that must keep every bit through a phase.

    These are the parameters that do not learn in it, and the buffers of modules in which nothing
    learns. What the strategy holds beside the network (its own buffers, and scaffold modules that
    no phase trains) is left out, as it may write to these itself.
    """
    learning, ever = ids(phase), set().union(*(ids(p) for p in phases))
    parameters, found = dict(strategy.named_parameters()), {}
    for name, tensor in tensors_of(strategy).items():
        around = [tensor] if name in parameters else _surroundings(strategy, name)
        if name.startswith("scaffold.") and not any(id(p) in ever for p in around):
            continue
        if around and not any(id(p) in learning for p in around):
            found[name] = tensor.detach().clone()
    return found


def _surroundings(strategy: Strategy, buffer: str) -> list[Tensor]:
    """Return the parameters of the smallest module that holds this buffer and has parameters.

    The list is empty for a buffer that is the strategy's own.
    """
    path = buffer.split(".")[:-1]
    while path and path != ["scaffold"]:
        parameters: list[Tensor] = list(strategy.get_submodule(".".join(path)).parameters())
        if parameters:
            return parameters
        path.pop()
    return []


def ids(phase: Phase) -> set[int]:
    """Return the ids of the parameters that learn in a phase."""
    return {id(p) for group in phase.learning() for p in group.parameters}


def awake(strategy: Strategy, phase: Phase) -> set[str]:
    """Return the names of layers in training mode that are in a module where nothing learns."""
    learning, found = ids(phase), set[str]()
    for name, module in strategy.named_modules():
        parameters = list(module.parameters())
        if parameters and not any(id(p) in learning for p in parameters):
            found |= _training(name, module)
    return found


def _training(name: str, module: nn.Module) -> set[str]:
    return {f"{name}.{n}".rstrip(".") for n, m in module.named_modules() if m.training}


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
