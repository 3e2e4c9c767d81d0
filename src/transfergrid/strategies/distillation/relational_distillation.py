"""A student that learns the distances and angles between examples in its teacher's space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Labelled
from transfergrid.data.inputs import Inputs
from transfergrid.records.arguments import NotNegative
from transfergrid.records.needs import Badge, Transferred
from transfergrid.records.space import Range, Space, rates
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.distillation.teacher import Student

TINY = 1e-12


def distances(embeddings: Tensor) -> Tensor:
    """Return the distances between all pairs of embeddings (n, dim), divided by their mean, (n, n).

    The mean is over all pairs of different examples, including those at distance 0.
    """
    squares = (embeddings[:, None] - embeddings[None]).square().sum(2)
    found = squares.clamp(min=TINY).sqrt() * (squares > TINY)
    pairs = len(found) * (len(found) - 1)
    return found / (found.sum() / max(pairs, 1)).clamp(min=TINY)


def angles(embeddings: Tensor) -> Tensor:
    """Return the cosines of the angles of all triplets of embeddings (n, dim), (n, n, n).

    The first index is the example at the vertex of the angle.
    """
    ways = embeddings[None] - embeddings[:, None]
    squares = ways.square().sum(2, keepdim=True)
    ways = ways / squares.clamp(min=TINY).sqrt() * (squares > TINY)
    return ways @ ways.transpose(1, 2)


def relational_losses(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Return Huber losses of distances and of angles (Park et al. 2019, section 3.2).

    They are means over all n^2 pairs and n^3 triplets, including those of an example with itself,
    as in the authors' code.

    Args:
        student: embeddings, (n, dim).
        teacher: embeddings, (n, another dim).
    """
    huber = nn.functional.smooth_l1_loss
    return huber(distances(student), distances(teacher)), huber(angles(student), angles(teacher))


class RelationalDistillation(Student):
    """Distances and angles between a batch's examples learn to be those in the teacher's space.

    Embeddings are compared by these relations alone, so their widths may differ.

    Formula:
        CE + d Huber(|x_i - x_j| / mean) + a Huber(cos of the angles at each x_j), over all pairs
        and all triplets of a batch.

    Try it:
        For a student of a quite different architecture, where neighbours matter: many classes, few
        examples of each.

    Cost:
        Training: as distillation, and memory for n^2 times the width of the embeddings and for n^3
        numbers of 4 bytes, each a few times, for a batch of n. Prediction: the student alone.

    Source:
        Park et al. 2019, Relational Knowledge Distillation, arXiv 1904.05068, section 3.2;
        weights as in the authors' code.

    Args:
        teacher: the strategy that adapts the source into the teacher.
        student: architecture of the student; null takes the source's.
        distance: d, weight of the distances.
        angle: a, weight of the angles; with both at 0 it is training from scratch.
        shared: arguments of every strategy, for the student.
    """

    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=3.0, small_images=3.0, images=100.0, text=0.95),
        "distance": Range(1.0, 100.0, default=25.0),
        "angle": Range(1.0, 200.0, default=50.0),
    }
    transfers: ClassVar[Transferred] = "relations"
    also_called = ("rkd", "relational_knowledge_distillation")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    version = 2  # 1 left pairs at distance 0 out of the mean distance
    reads_layers: ClassVar[bool] = True

    def __init__(
        self,
        teacher: Strategy,
        student: Architecture | None = None,
        distance: NotNegative = 25.0,
        angle: NotNegative = 50.0,
        **shared: Any,
    ) -> None:
        super().__init__(teacher, student, **shared)
        self.distance, self.angle = distance, angle

    @override
    def shape_said(self) -> Sequence[int]:
        return (self.teacher.backbone.dim,)

    @override
    def say(self, inputs: Inputs) -> Tensor:
        return self.teacher.features(inputs)

    @override
    def loss_by(self, seen: Labelled, theirs: Tensor) -> Tensor:
        own = self.features(seen.inputs)
        distance, angle = relational_losses(own, theirs)
        hard = self.task.loss(self.head(own), seen.labels)
        return hard + self.distance * distance + self.angle * angle
