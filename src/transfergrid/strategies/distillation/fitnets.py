"""A student whose middle layer learns to match its teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Labelled
from transfergrid.data.inputs import Inputs
from transfergrid.records.arguments import NotNegative
from transfergrid.records.needs import Badge, Needs, Transferred
from transfergrid.records.space import Range, Space, rates
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.distillation.layers import (
    LayerName,
    count_of,
    layers_of,
    number_of,
    resized,
    shapes_of,
    smaller,
)
from transfergrid.strategies.distillation.teacher import Student


def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of two layers, (n, ...), over all elements.

    Romero et al. 2015, equation 3, has half the squared distance, n d / 2 times as much for n
    examples with d elements each.
    """
    return nn.functional.mse_loss(student, teacher)


class Fitnets(Student):
    """A layer of the student, through a regressor, learns to be a layer of the teacher.

    Layers are the outputs of coarse blocks, of any two architectures. If two maps differ in size,
    both are averaged to the smaller size; a transformer's tokens of an image form the grid of its
    patches. Texts are compared token by token; if the student's tokenizer or max_length differs, by
    the mean over each text's tokens. The regressor, a 1 by 1 convolution, is used in training only.
    Labels and hint are learned at the same time; the paper learns one after the other.

    Formula:
        CE + w mean((t - r(s))^2), over all elements of the layer and the batch; r is learned.

    Try it:
        For a student that is deeper or narrower than the source, where logits alone teach little:
        with few classes or few labels.

    Cost:
        Training: as distillation. Prediction: the student alone.

    Source:
        Romero et al. 2015, FitNets: Hints for Thin Deep Nets, arXiv 1412.6550, equation 3; one
        stage, w = 100 on the mean of squares, as in Tian et al. 2020, arXiv 1910.10699.

    Args:
        teacher: the strategy that adapts the source into the teacher.
        student: architecture of the student; null takes the source's.
        weight: w; at 0 it is training from scratch.
        teacher_layer: a coarse block, by number from 1 at the input or by name; null: the middle.
        student_layer: likewise, of the student.
        shared: arguments of every strategy, for the student.
    """

    needs: ClassVar[Needs] = Needs(teacher=True, layers="some")
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=3.0, small_images=9.5, images=10.0, text=0.95),
        "weight": Range(1.0, 1000.0, default=100.0),
    }
    transfers: ClassVar[Transferred] = "features"
    also_called = ("hint", "hints", "hint_learning")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    reads_layers: ClassVar[bool] = True
    learns_beside = ("regressor",)

    def __init__(
        self,
        teacher: Strategy,
        student: Architecture | None = None,
        weight: NotNegative = 100.0,
        teacher_layer: LayerName | None = None,
        student_layer: LayerName | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(teacher, student, **shared)
        self.weight = weight
        self.layers = {"teacher_layer": teacher_layer, "student_layer": student_layer}

    @override
    def build_beside(self, sizes: Sizes) -> None:
        networks = (self.teacher.backbone, self.backbone)
        middle = [(count_of(network) + 2) // 2 for network in networks]
        self.guide, self.guided = (
            number_of(network, usual if told is None else told, key) - 1
            for network, usual, (key, told) in zip(
                networks, middle, self.layers.items(), strict=True
            )
        )
        theirs, own = shapes_of(networks[0])[self.guide], shapes_of(networks[1])[self.guided]
        self.shape = (theirs[0], *((1, 1) if self.reads_texts else smaller(theirs, own)))
        self.scaffold["regressor"] = nn.Conv2d(own[0], theirs[0], kernel_size=1)

    @override
    def shape_said(self) -> Sequence[int] | None:
        return None if self.reads_texts and self.reads_alike else self.shape

    @override
    def say(self, inputs: Inputs) -> Tensor:
        return self._compared(layers_of(self.teacher.backbone, inputs)[0][self.guide], inputs)

    @override
    def loss_by(self, seen: Labelled, theirs: Tensor) -> Tensor:
        layers, embedding = layers_of(self.backbone, seen.inputs)
        own = self.scaffold["regressor"](self._compared(layers[self.guided], seen.inputs))
        hard = self.task.loss(self.head(embedding), seen.labels)
        return hard + self.weight * hint_loss(own, theirs)

    def _compared(self, maps: Tensor, inputs: Inputs) -> Tensor:
        """Return a layer (n, channels, height, width) as it is compared: for texts, by tokens."""
        if not isinstance(inputs, dict):
            return resized(maps, self.shape[1:])
        real = inputs["attention_mask"]
        if self.reads_alike:
            return maps.squeeze(-1).transpose(1, 2)[real.bool()][:, :, None, None]
        return maps.sum(2, keepdim=True) / real.sum(1)[:, None, None, None]
