"""A student whose layers learn to be active where its teacher's layers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import MinLen, doc
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Labelled
from transfergrid.data.inputs import Inputs
from transfergrid.records.arguments import NotNegative
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.needs import Badge, Needs, Transferred
from transfergrid.records.space import Range, Space, rates
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.distillation.layers import (
    LayerName,
    layers_of,
    number_of,
    resized,
    shapes_of,
    smaller,
)
from transfergrid.strategies.distillation.teacher import Student

Layers = Annotated[Sequence[LayerName], MinLen(1), doc("a list of layers")]
Form = Literal["mean_of_squares", "norm"]


def attention(maps: Tensor) -> Tensor:
    """Return the attention maps of feature maps (n, channels, height, width): (n, places).

    They are the mean over channels of squares, scaled to length 1 (Zagoruyko and Komodakis 2017,
    section 3.1).
    """
    return nn.functional.normalize(maps.square().mean(1).flatten(1), dim=1)


def attention_loss(student: Tensor, teacher: Tensor, real: Tensor | None, form: Form) -> Tensor:
    """Return how far two attention maps are apart, both (n, places) with rows of length 1.

    Args:
        student: the student's map.
        teacher: the teacher's map.
        real: mask of the places that are no padding, (n, places); None: all.
        form: "mean_of_squares", over places and batch, as in the paper's code; "norm", the norm of
            the difference, averaged over the batch, as in its equation 2.
    """
    apart = student - teacher
    if form == "norm":
        length: Tensor = torch.linalg.vector_norm(apart, dim=1)
        return length.mean()
    there = apart if real is None else apart[real]
    return there.square().mean()


class AttentionTransfer(Student):
    """Where the student's layers are large learns to be where the teacher's are.

    An attention map is the mean of a layer's squares over its channels, scaled to length 1. Layers
    are the outputs of coarse blocks, of any two architectures, paired by depth; layers with a
    single place are left out. If two maps differ in size, both are first averaged to the smaller
    size. For transformers it is a map over tokens, for an image over those of its patches; it is
    not the weights by which tokens attend. A student that reads other tokens of a text is refused.

    Formula:
        CE + w sum_j mean((q_j - q'_j)^2), q = Q / |Q|, Q = mean_c of squares; j: pairs of layers.

    Try it:
        For images, with a student of the source's kind, shallower or narrower. It adds nothing that
        learns.

    Cost:
        Training: as distillation. Prediction: the student alone.

    Source:
        Zagoruyko and Komodakis 2017, Paying More Attention to Attention, arXiv 1612.03928,
        equation 2; w = 1000 on the mean of squares, as in the authors' code.

    Args:
        teacher: the strategy that adapts the source into the teacher.
        student: architecture of the student; null takes the source's.
        weight: w; at 0 it is training from scratch.
        form: `mean_of_squares`, as in the paper's code, or `norm`, as in its equation, with a
            weight near 0.05.
        teacher_layers: coarse blocks, by number from 1 at the input or by name; null: all layers of
            the network that has fewer, and the other's layers at the same depth.
        student_layers: the student's layers, as many.
        shared: arguments of every strategy, for the student.

    Raises:
        BadInputError: the two lists of layers differ in length.
        ImpossibleError: no two layers can be compared.
    """

    needs: ClassVar[Needs] = Needs(teacher=True, layers="some")
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=0.95, small_images=0.3, images=10.0, text=0.95),
        "weight": Range(10.0, 10000.0, default=1000.0),
    }
    transfers: ClassVar[Transferred] = "features"
    also_called = ("at", "activation_attention")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    reads_layers: ClassVar[bool] = True

    def __init__(
        self,
        teacher: Strategy,
        student: Architecture | None = None,
        weight: NotNegative = 1000.0,
        form: Form = "mean_of_squares",
        teacher_layers: Layers | None = None,
        student_layers: Layers | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(teacher, student, **shared)
        self.weight, self.form = weight, form
        self.teacher_layers, self.student_layers = teacher_layers, student_layers

    @override
    def build_beside(self, sizes: Sizes) -> None:
        if self.reads_texts and not self.reads_alike:
            raise ImpossibleError(
                "attention_transfer compares token by token, and the student reads other tokens: "
                "both must have one tokenizer and one max_length"
            )
        theirs, own = shapes_of(self.teacher.backbone), shapes_of(self.backbone)
        pairs = [(i, j, smaller(theirs[i], own[j])) for i, j in self._paired(len(theirs), len(own))]
        self.pairs = [told for told in pairs if self.reads_texts or told[2] != (1, 1)]
        if not self.pairs:
            raise ImpossibleError(
                f"attention_transfer: {self.teacher.backbone.title} and {self.backbone.title} have "
                "no two layers of more than one place"
            )

    def _paired(self, theirs: int, own: int) -> list[tuple[int, int]]:
        """Return pairs of layer indices, from 0, given how many layers teacher and student have."""
        if self.teacher_layers is None and self.student_layers is None:
            few = min(theirs, own)
            return [(i * theirs // few - 1, i * own // few - 1) for i in range(1, few + 1)]
        told = (self.teacher_layers or (), self.student_layers or ())
        if len(told[0]) != len(told[1]):
            raise BadInputError(
                "strategy.teacher_layers and strategy.student_layers must be as many, and are "
                f"{len(told[0])} and {len(told[1])}"
            )
        networks = (self.teacher.backbone, self.backbone)
        keys = ("teacher_layers", "student_layers")
        found = [
            [number_of(network, name, key) - 1 for name in names]
            for network, names, key in zip(networks, told, keys, strict=True)
        ]
        return list(zip(*found, strict=True))

    @override
    def shape_said(self) -> Sequence[int] | None:
        if self.reads_texts:
            return None
        return (sum(high * wide for *_, (high, wide) in self.pairs),)

    @override
    def say(self, inputs: Inputs) -> Tensor:
        layers = layers_of(self.teacher.backbone, inputs)[0]
        return torch.cat([self._attention(layers[i], size) for i, _, size in self.pairs], dim=1)

    @override
    def loss_by(self, seen: Labelled, theirs: Tensor) -> Tensor:
        layers, embedding = layers_of(self.backbone, seen.inputs)
        own = [self._attention(layers[j], size) for _, j, size in self.pairs]
        parts = zip(own, torch.split(theirs, [part.shape[1] for part in own], dim=1), strict=True)
        real = seen.inputs["attention_mask"].bool() if isinstance(seen.inputs, dict) else None
        apart = [attention_loss(mine, told, real, self.form) for mine, told in parts]
        hard = self.task.loss(self.head(embedding), seen.labels)
        return hard + self.weight * torch.stack(apart).sum()

    def _attention(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        return attention(maps if self.reads_texts else resized(maps, size))
