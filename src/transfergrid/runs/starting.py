"""The networks that a strategy begins with: the one that it trains, and what the source gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from transfergrid.data.inputs import Inputs
from transfergrid.data.streams import CellData
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build
from transfergrid.records.identity import architecture_of
from transfergrid.records.needs import Needs
from transfergrid.records.seeds import stream_seed
from transfergrid.records.training import Training
from transfergrid.runs.allowed import sizes_of
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.source import Maker, Source
from transfergrid.strategies.base import Strategy


@dataclass(frozen=True)
class Start:
    """The networks that a cell begins with.

    Attributes:
        backbone: the backbone that the strategy trains.
        taught: the source's backbone as a teacher, if the strategy learns from one.
        head: the source's head, if the strategy needs it; its outputs are in the order of the
            target's classes if source and target have the same classes.
        each: the backbone of each source, if the strategy needs them apart; `backbone` is then the
            one that all of them began with.
        fresh: returns a further network of the source's architecture with random weights, given a
            name of what is drawn; seeded by the seed block and that name.
    """

    backbone: Backbone
    taught: Backbone | None = None
    head: nn.Module | None = None
    each: tuple[Backbone, ...] = ()
    fresh: Callable[[str], Backbone] | None = None

    @property
    def of_source(self) -> Backbone:
        """The network that represents the source in a record."""
        return self.taught or self.backbone


def fresh(source: Config, seed: int, drawn: str) -> Backbone:
    """Return a network of a source's architecture with random weights.

    Args:
        source: the source's config.
        seed: the seed block.
        drawn: name of what is drawn; `backbone` gives the weights that `scratch` begins with.
    """
    with torch.random.fork_rng(devices=[]):
        seed_torch(stream_seed(seed, drawn))
        made: Backbone = build(architecture_of(source)).build()
    return made


def start(
    source: Config,
    needs: Needs,
    maker: Maker,
    seed: int,
    *,
    student: Any = None,
    classes: Sequence[str] = (),
) -> Start:
    """Return the networks that a strategy with these needs begins with.

    Random weights depend on the seed alone, so all arms of a seed block share them.

    Args:
        source: the source's config.
        needs: the strategy's needs.
        maker: trains sources, or loads those that are trained already.
        seed: the seed block.
        student: architecture that learns from the teacher; None: the source's.
        classes: the target's classes in label order.

    Raises:
        BadInputError: weights are not available, or lack the head that is needed.
    """
    begun = _start(source, needs, maker, seed, student, classes)
    return replace(begun, fresh=partial(fresh, source, seed))


def _start(
    source: Config, needs: Needs, maker: Maker, seed: int, student: Any, classes: Sequence[str]
) -> Start:
    seed_torch(stream_seed(seed, "backbone"))
    if needs.source == "architecture":
        return Start(build(architecture_of(source)).build())
    made: Source = build(source)
    if needs.source == "start":
        return Start(made.initial())
    if needs.each:
        begun, each = made.each(maker, seed)
        return Start(begun, each=tuple(each))
    loaded = made.load(maker, seed)
    if not needs.teacher:
        head = made.head(loaded, maker, seed) if needs.source == "head" else None
        if head is not None and needs.classes == "same" and made.domain is not None:
            head = in_order(head, made.domain.classes or made.domain.outputs, classes)
        return Start(loaded, head=head)
    seed_torch(stream_seed(seed, "backbone"))
    learner = (student or build(architecture_of(source))).build()
    check_same_kind(loaded, learner)
    return Start(learner, loaded)


def attach(
    strategy: Strategy, begun: Start | None, data: CellData, training: Training, seed: int
) -> None:
    """Attach a strategy to the networks that it begins with, and to its task and data sizes."""
    backbone = begun.backbone if begun else None
    strategy.attach(
        backbone,
        data.task,
        training,
        seed,
        sizes=sizes_of(data, backbone),
        source_tasks=data.source_tasks,
        source_head=begun.head if begun else None,
        taught=begun.taught if begun else None,
        each=begun.each if begun else (),
        fresh=begun.fresh if begun else None,
    )


def in_order(head: nn.Module, theirs: Sequence[str], ours: Sequence[str]) -> nn.Module:
    """Reorder the outputs of a source's head to the target's classes, in place; return the head.

    Args:
        head: a linear layer, as `Source.head` returns it.
        theirs: the source's classes, in the order of the outputs.
        ours: the same classes in the target's order.
    """
    assert isinstance(head, nn.Linear)
    order = [theirs.index(name) for name in ours]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(parameter[order].clone())
    return head


def check_same_kind(teacher: Backbone, student: Backbone) -> None:
    """Raise unless both take images, or texts, or vectors; their preprocessing may differ.

    Raises:
        BadInputError: they take different kinds of inputs.
    """
    kinds = [_kind(backbone.example()) for backbone in (teacher, student)]
    if kinds[0] != kinds[1]:
        raise BadInputError(
            f"the teacher, {teacher.title}, takes {kinds[0]}, and the student, {student.title}, "
            f"{kinds[1]}: strategy.student must be a network for the target's examples"
        )


def _kind(example: Inputs) -> str:
    if isinstance(example, dict):
        return "texts"
    return "vectors" if isinstance(example, torch.Tensor) and example.ndim == 2 else "images"
