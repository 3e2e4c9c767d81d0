"""A student that learns embeddings near its teacher's, by contrast with those of other classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Labelled
from transfergrid.data.inputs import Inputs
from transfergrid.records.arguments import Count, NotNegative, Positive, Share
from transfergrid.records.needs import Badge, Transferred
from transfergrid.records.space import Range, Space, rates
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.distillation.teacher import Student
from transfergrid.strategies.phases import Data, Phase

TINY = 1e-12


def nce_loss(scores: Tensor, positive: Tensor, among: Tensor) -> Tensor:
    """Return the noise-contrastive loss of one side (Tian et al. 2020, section 3.2).

    It is -log(p / (p + m/n)) - sum over negatives q of log((m/n) / (q + m/n)), averaged over the
    batch, with m negatives out of n examples.

    Args:
        scores: normalised scores of each example in memory, (batch, n).
        positive: index in memory of the same example, (batch,).
        among: mask of the negatives, (batch, n) bool.
    """
    noise = (among.sum(1, keepdim=True).to(scores) / scores.shape[1]).clamp(min=TINY)
    own = scores.gather(1, positive[:, None])
    hit = (own / (own + noise)).log().squeeze(1)
    missed = torch.where(among, (noise / (scores + noise)).log(), 0.0).sum(1)
    return -(hit + missed).mean()


class Memory(nn.Module):
    """A memory bank of the student's and the teacher's embeddings of each training example.

    Args:
        examples: number of training examples.
        dim: width of the embeddings.
        momentum: share of the stored embedding that stays when an example is seen again.
    """

    embeddings: Tensor
    """(2, examples, dim), of the student and of the teacher."""
    normaliser: Tensor
    """Z of each side, (2,): set by the first step, 0 before."""
    classes: Tensor
    """The class of each example, (examples,)."""

    def __init__(self, examples: int, dim: int, momentum: float) -> None:
        super().__init__()
        far, self.momentum = math.sqrt(3 / dim), momentum  # length about 1
        drawn = torch.empty(2, examples, dim).uniform_(-far, far)
        self.register_buffer("embeddings", drawn)
        self.register_buffer("normaliser", torch.zeros(2))
        self.register_buffer("classes", torch.zeros(examples, dtype=torch.int64))
        self.met: list[tuple[Tensor, Tensor, Tensor]] = []  # in this step

    def negatives(self, rows: Tensor, most: int) -> Tensor:
        """Return the mask of examples of other classes than these, (batch, examples) bool.

        If there are more than `most`, that many are drawn, without replacement.
        """
        others = self.classes[rows][:, None] != self.classes[None]
        if others.shape[1] <= most:
            return others
        chance = torch.rand(others.shape, device=others.device).masked_fill(~others, -1.0)
        return others & torch.zeros_like(others).scatter(1, chance.topk(most).indices, True)

    def scores(self, rows: Tensor, anchors: Tensor, among: Tensor, temperature: float) -> Tensor:
        """Return exp(similarity / temperature) / Z, (2, batch, examples).

        Each side's embeddings are compared with the other side's memory. Z is the number of
        examples times the mean over the first step's positives and negatives, and is constant
        afterwards.

        Args:
            rows: indices of the batch's examples, (batch,).
            anchors: embeddings of the batch by student and teacher, (2, batch, dim).
            among: mask of the negatives, (batch, examples).
            temperature: of the similarities.
        """
        found = (anchors @ self.embeddings.flip(0).transpose(1, 2) / temperature).exp()
        used = among.scatter(1, rows[:, None], True)
        means = torch.stack([side.detach()[used].mean() for side in found])
        z = torch.where(self.normaliser > 0, self.normaliser, means * among.shape[1])
        self.met.append((rows, anchors.detach(), z))
        return found / z[:, None, None]

    def note(self) -> None:
        """Move the stored embeddings of this step's examples towards the new ones."""
        for rows, anchors, _ in self.met:
            moved = self.momentum * self.embeddings[:, rows] + (1 - self.momentum) * anchors
            self.embeddings[:, rows] = nn.functional.normalize(moved, dim=2)
        self.normaliser.copy_(torch.stack([z for *_, z in self.met]).mean(0))
        self.met = []


class ContrastiveDistillation(Student):
    """The student's embedding of an example learns to be near its teacher's, far from others'.

    A linear layer for each side projects embeddings, which are scaled to length 1 and compared with
    a memory bank of the other side. The same example is the positive; the negatives are all
    examples of other classes, or `negatives` of them, drawn again for each example. Where there are
    fewer, each is used once; the paper, whose data have more, would repeat them. The projections
    and the memory are used in training only.

    Formula:
        CE + w (NCE(student, memory of the teacher) + NCE(teacher, memory of the student)),
        NCE = -log(p / (p + m/n)) - sum_q log((m/n) / (q + m/n)), scores exp(u.v / T) / Z.

    Try it:
        For a student of a quite different architecture, with many examples: it learns the whole
        structure of the teacher's embedding space.

    Cost:
        Training: as distillation, and memory for two embeddings of every example. Prediction: the
        student alone.

    Source:
        Tian, Krishnan and Isola 2020, Contrastive Representation Distillation, arXiv 1910.10699,
        section 3.2; Z and momentum as in the authors' code.

    Args:
        teacher: the strategy that adapts the source into the teacher.
        student: architecture of the student; null takes the source's.
        weight: w; at 0 it is training from scratch.
        negatives: most negatives for each example.
        temperature: T.
        momentum: share of a stored embedding that stays when its example is seen again.
        dim: width of the projections.
        shared: arguments of every strategy, for the student.
    """

    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=0.95, small_images=0.95, images=10.0, text=0.95),
        "weight": Range(0.1, 10.0, default=0.8),
        "temperature": Range(0.05, 0.5, default=0.07),
    }
    transfers: ClassVar[Transferred] = "features"
    also_called = ("crd", "contrastive_representation_distillation")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    reads_layers: ClassVar[bool] = True
    learns_beside = ("project_student", "project_teacher")

    def __init__(
        self,
        teacher: Strategy,
        student: Architecture | None = None,
        weight: NotNegative = 0.8,
        negatives: Count = 16384,
        temperature: Positive = 0.07,
        momentum: Share = 0.5,
        dim: Count = 128,
        **shared: Any,
    ) -> None:
        super().__init__(teacher, student, **shared)
        self.weight, self.negatives, self.temperature = weight, negatives, temperature
        self.momentum, self.dim = momentum, dim

    @override
    def build_beside(self, sizes: Sizes) -> None:
        self.scaffold["project_student"] = nn.Linear(self.backbone.dim, self.dim)
        self.scaffold["project_teacher"] = nn.Linear(self.teacher.backbone.dim, self.dim)
        self.scaffold["memory"] = Memory(sizes.target, self.dim, self.momentum)

    @property
    def memory(self) -> Memory:
        """The memory bank of both sides."""
        own = self.scaffold["memory"]
        assert isinstance(own, Memory)
        return own

    @override
    def phases(self) -> list[Phase]:
        *before, distil = super().phases()
        return [*before, replace(distil, before=self.note_classes, after=self.note_embeddings)]

    def note_classes(self, data: Data) -> None:
        """Store the examples' classes; for numbers, equal values are one class."""
        assert data.target is not None
        _, classes = torch.unique(data.target.labels, dim=0, return_inverse=True)
        self.memory.classes.copy_(classes)

    def note_embeddings(self, step: int, steps: int) -> None:
        """Store the embeddings of a step."""
        self.memory.note()

    @override
    def shape_said(self) -> Sequence[int]:
        return (self.teacher.backbone.dim,)

    @override
    def say(self, inputs: Inputs) -> Tensor:
        return self.teacher.features(inputs)

    @override
    def loss_by(self, seen: Labelled, theirs: Tensor) -> Tensor:
        own, rows = self.features(seen.inputs), seen.rows
        assert rows is not None
        sides = (self.scaffold["project_student"](own), self.scaffold["project_teacher"](theirs))
        anchors = nn.functional.normalize(torch.stack(sides), dim=2)
        among = self.memory.negatives(rows, self.negatives)
        scores = self.memory.scores(rows, anchors, among, self.temperature)
        contrast = sum(nce_loss(side, rows, among) for side in scores)
        return self.task.loss(self.head(own), seen.labels) + self.weight * contrast
