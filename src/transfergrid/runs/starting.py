"""The networks that a strategy begins with: what it trains, and what the source hands over."""

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
    """What a cell begins with.

    Attributes:
        backbone: what the strategy trains.
        taught: the source's own, where the strategy learns from a teacher.
        head: the source's own, where the strategy needs it; its outputs stand in the order of the
            target's classes where these are the source's.
        each: the network of each source, where the strategy needs them apart; `backbone` is then
            what all of them began with.
        fresh: another network of the source's architecture, its random weights by the seed block
            and by the name of what is drawn.
    """

    backbone: Backbone
    taught: Backbone | None = None
    head: nn.Module | None = None
    each: tuple[Backbone, ...] = ()
    fresh: Callable[[str], Backbone] | None = None

    @property
    def of_source(self) -> Backbone:
        """The network that stands for the source in a record."""
        return self.taught or self.backbone


def fresh(source: Config, seed: int, drawn: str) -> Backbone:
    """Return a network of a source's architecture with random weights.

    Args:
        source: its config.
        seed: of the seed block.
        drawn: what of the block is drawn; `backbone` gives what `scratch` begins with.
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
        source: its config.
        needs: of the strategy.
        maker: trains, or finds again, what is trained by this program.
        seed: of the seed block.
        student: the architecture that learns from a teacher, where it is not the source's.
        classes: of the target in label order.

    Raises:
        BadInputError: weights cannot be had, or came without the head that is needed.
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
    """Give a strategy its parts: the networks that it begins with, and the sizes of its data."""
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
    """Bring the outputs of a source's head to the order of the target's classes.

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
    """Raise unless both take images, or texts, or vectors, each by a preprocessing of its own.

    Raises:
        BadInputError: they do not.
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
