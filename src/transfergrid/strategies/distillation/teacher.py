"""The base classes of strategies in which a student learns from labels and from a teacher."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.batches import Batch, Labelled, StreamName
from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.needs import Baselines, Needs
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.composition.additions import own_learners
from transfergrid.strategies.distillation.said import Said, heard, memory
from transfergrid.strategies.phases import Group, Objective, Phase
from transfergrid.strategies.teaching import teaching


class Taught(Strategy):
    """Learns from labels and from a teacher, which another strategy trains first, in the same cell.

    The teacher's steps are counted separately. Where inputs are seen again (not augmented, or in k
    views), its outputs are computed once for each and cached.

    Args:
        teacher: the strategy that trains the teacher.
        shared: arguments of `Strategy`, for the network that learns from it.

    Raises:
        BadInputError: the teacher's strategy needs more than the source's weights and labels, or
            adapts something other than the layers that the student learns from.
        ImpossibleError: the teacher's strategy does not support the target's kind of task.
    """

    baselines: ClassVar[Baselines] = Baselines(exploratory=["full_finetuning"])
    learns_beside: ClassVar[tuple[str, ...]] = ()
    """Names of scaffold modules that learn together with the network."""
    reads_layers: ClassVar[bool] = False
    """Whether the student learns from the teacher's features or layers, not its predictions."""

    def __init__(self, teacher: Strategy, **shared: Any) -> None:
        super().__init__(**shared)
        if not teacher.needs.are_plain:
            raise BadInputError(
                "strategy.teacher must adapt the source's weights by target labels alone, as "
                f"full_finetuning does: {type(teacher).__name__} needs something else"
            )
        self._teacher = (teacher,)  # in a tuple: it joins the scaffold once it has a backbone

    @property
    def teacher(self) -> Strategy:
        """The teacher's strategy; once attached, it is the teacher."""
        return self._teacher[0]

    # What a subclass overrides -----------------------------------------------------------------

    @abstractmethod
    def network_to_teach(self, sizes: Sizes) -> Backbone | None:
        """Return the network that becomes the teacher; None if a trained strategy is rebuilt."""

    @abstractmethod
    def loss_by(self, seen: Labelled, theirs: Tensor) -> Tensor:
        """Return the loss of a step, given the teacher's outputs for the same examples."""

    def say(self, inputs: Inputs) -> Tensor:
        """Return the teacher's outputs to learn from, (batch, *shape_said)."""
        return self.teacher.predict(inputs)

    def shape_said(self) -> Sequence[int] | None:
        """Return the shape of `say` for one example; None if it varies."""
        return (self.task.outputs,)

    # What is the same for all ------------------------------------------------------------------

    @override
    def build(self, sizes: Sizes) -> None:
        network = self.network_to_teach(sizes)
        if network is not None:
            self._check_kind()
            plan = self.training_plan
            parts = (network, self.task, plan, self.block_seed)
            self.teacher.attach(*parts, sizes=sizes, fresh=self.fresh)
            if self.reads_layers:
                self._check_layers()
            self.scaffold["teacher"] = self.teacher
            self.build_beside(sizes)
            self.scaffold["said"] = memory(plan, sizes.target, self.shape_said())

    def _check_kind(self) -> None:
        if self.task.kind not in self.teacher.needs.tasks:
            raise ImpossibleError(
                f"strategy.teacher {type(self.teacher).__name__} is not for targets of "
                f"{self.task.kind}: another teacher, such as full_finetuning, is"
            )

    def _check_layers(self) -> None:
        """Raise BadInputError if the teacher trains more than its head, but not its backbone."""
        learning, backbone = own_learners(self.teacher), self.teacher.backbone
        layers, head = ({id(p) for p in m.parameters()} for m in (backbone, self.teacher.head))
        if learning - head and not learning & layers:
            raise BadInputError(
                f"strategy.teacher {type(self.teacher).__name__} leaves the source's layers as "
                f"they are, and {type(self).__name__} learns from those: take a teacher that "
                "adapts them, as full_finetuning does, or strategy=distillation"
            )

    def build_beside(self, sizes: Sizes) -> None:
        """Add to the scaffold what is used in training only; the teacher is attached already."""

    @override
    def start_again(self) -> None:
        super().start_again()
        if "teacher" in self.scaffold:
            self.teacher.start_again()

    @property
    @override
    def starts_once(self) -> str:
        return self.teacher.starts_once

    @override
    def phases(self) -> list[Phase]:
        if "teacher" not in self.scaffold:  # a trained strategy, made again to predict
            return [Phase("distil", [Objective(self.loss, self.everything())], cached=False)]
        beside = [Group(name, self.scaffold[name].parameters()) for name in self.learns_beside]
        learns = [Objective(self.loss, [*self.everything(), *beside])]
        reads: tuple[StreamName, ...] = ("target", "taught") if self.needs.teacher else ("target",)
        return [*teaching(self.teacher), Phase("distil", learns, reads=reads, cached=False)]

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        with torch.no_grad():
            theirs = self.heard(seen)
        return self.loss_by(seen, theirs)

    def heard(self, seen: Labelled) -> Tensor:
        """Return the teacher's outputs for a batch, (batch, *shape_said), cached if possible."""
        return heard(self.said, self.training_plan, seen, seen.for_teacher, self.say)

    @property
    def said(self) -> Said:
        """The cache of the teacher's outputs."""
        own = self.scaffold["said"]
        assert isinstance(own, Said)
        return own


class Student(Taught):
    """A student with random weights, of any architecture; the teacher is the adapted source.

    Both see the same augmented examples, each with its own preprocessing.

    Args:
        teacher: the strategy that adapts the source into the teacher.
        student: architecture of the student; null takes the source's.
        shared: arguments of `Strategy`, for the student.
    """

    needs: ClassVar[Needs] = Needs(teacher=True)
    closed_to: ClassVar[Mapping[str, str]] = {
        "probe_first": "the student's features are random when it would be fitted"
    }

    def __init__(
        self, teacher: Strategy, student: Architecture | None = None, **shared: Any
    ) -> None:
        super().__init__(teacher, **shared)
        self.student = student

    @override
    def network_to_teach(self, sizes: Sizes) -> Backbone | None:
        return self.taught

    @property
    def reads_alike(self) -> bool:
        """Whether teacher and student have the same preprocessing, so the same tokens of a text."""
        return self.teacher.backbone.preprocess == self.backbone.preprocess

    @property
    def reads_texts(self) -> bool:
        """Whether inputs are texts, whose number of tokens varies."""
        return isinstance(self.backbone.example(), dict)
