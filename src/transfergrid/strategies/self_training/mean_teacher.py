"""Agree on unlabelled inputs with a running mean of the weights, and predict with that mean."""

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import (
    Batch,
    Data,
    Inputs,
    NotNegative,
    Objective,
    Phase,
    Range,
    Share,
    Sizes,
    evaluating,
)
from transfergrid.strategies.adaptation.alignment import RATES
from transfergrid.strategies.modes import unrecorded_statistics
from transfergrid.strategies.self_training.predictions import VIEWS, UnlabelledTerm


def kept_share(step: int, momentum: float) -> float:
    """Return the share of its own weights that the teacher keeps after a step.

    In the first steps it makes the teacher the plain mean of the student's weights so far.
    """
    return min(1 - 1 / (step + 1), momentum)


def risen(progress: float, warm_up: float) -> float:
    """Return exp(-5 (1 - p)^2), where p is the share of the warm-up that is done; 1 after it."""
    left = 1 - min(progress / warm_up, 1.0) if warm_up else 0.0
    return math.exp(-5 * left**2)


def disagreement(student: Tensor, teacher: Tensor) -> Tensor:
    """Return |p - q|^2 of probabilities, summed over classes, averaged over the batch.

    Args:
        student: logits, (batch, classes).
        teacher: logits, (batch, classes).
    """
    return (student.softmax(1) - teacher.softmax(1)).square().sum(1).mean()


class MeanTeacher(UnlabelledTerm):
    """Agree on unlabelled inputs with a teacher that is a running mean of one's own weights.

    The teacher makes the predictions; it is validated and saved, as in the paper; one library keeps
    the student. Its weights are the plain mean of the student's weights for the first
    1 / (1 - momentum) steps, and in shorter runs to the end: try a smaller momentum there.
    BatchNorm's running statistics are averaged as weights are. In the steps, teacher and student
    normalise unlabelled inputs by their batch, neither records them, and each has its own dropout.

    The square is summed over classes and averaged over the batch. The authors' code averages over
    classes too; one library sums over the batch as well: its weight .1 at 32 examples is 3.2 here.

    The student sees strong views, the teacher weak ones, augmented as all training inputs are; in
    the paper both views are of one kind. With `training.augmentation: none` the teacher sees the
    inputs themselves, and the student strong views all the same.

    Under `training.selection=dev` examples are weighted by the student's embeddings, and the
    weights are applied to the teacher's losses.

    `weight: 0` is the baseline with its weights averaged; with `momentum: 0` as well, it is the
    baseline bit for bit.

    Formula:
        CE(source, target) + w r mean |p(strong) - q(weak)|^2, q of the weights m after
        m <- a m + (1 - a) weights, a = min(1 - 1 / (t + 1), momentum), at each step t from 1;
        r = exp(-5 (1 - s / warm-up)^2) of the share s of the steps that is done, then 1
    Try it:
        where target inputs come without labels and the source model is mostly right on them; it
        uses no hard pseudo label
    Cost:
        two forward passes of as many unlabelled inputs a step, one of them without gradient; memory
        of a second network; nothing at prediction
    Source:
        Tarvainen & Valpola 2017, Mean teachers are better role models, NIPS, arXiv 1703.01780,
        section 2; for domains French, Mackiewicz & Fisher 2018, Self-ensembling for visual domain
        adaptation, ICLR, arXiv 1706.05208

    Args:
        weight: weight of the disagreement.
        momentum: share of its own weights that the teacher keeps at each step.
        warm_up: share of the steps over which `weight` is ramped up.
        shared: `lr_factor` and `schedule`.
    """

    also_called = ("self_ensembling", "self_ensemble", "mean_teachers")
    closed_to = {"weight_averaging": "the teacher is a mean of the weights already"}
    badges = ("formula_exact", "trajectory_exact")
    space = {
        "lr_factor": RATES,
        "weight": Range(0.1, 100.0, default=3.0),
        "momentum": Range(0.9, 0.9999, log=False, default=0.999),
    }

    def __init__(
        self,
        weight: NotNegative = 3.0,
        momentum: Share = 0.999,
        warm_up: Share = 0.5,
        **shared: Any,
    ) -> None:
        super().__init__(weight, **shared)
        self.momentum, self.warm_up = momentum, warm_up

    def build(self, sizes: Sizes) -> None:
        self.scaffold["teacher"] = self.copied(self.backbone)
        self.scaffold["teacher_head"] = self.copied(self.head)

    def phases(self) -> list[Phase]:
        adapt = Phase(
            "adapt",
            [Objective(self.loss, self.everything())],
            reads=VIEWS,
            after=self.follow,
            cached=False,
            predicts=self.predict_by_teacher,
        )
        return [adapt, Phase("teacher", before=self.put)]

    def unlabelled_loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.views is not None
        weak, strong = batch.views
        teacher = self.scaffold["teacher"]
        with torch.no_grad(), evaluating(teacher, training=True), unrecorded_statistics(teacher):
            theirs = self.predict_by_teacher(weak)
        return risen(progress, self.warm_up) * disagreement(self.logits(strong), theirs)

    def predict_by_teacher(self, inputs: Inputs) -> Tensor:
        """Return the teacher's logits, (batch, classes)."""
        said: Tensor = self.scaffold["teacher_head"](self.scaffold["teacher"](inputs))
        return said

    def _both(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each parameter and buffer of the teacher with the student's."""
        names = (("teacher", self.backbone), ("teacher_head", self.head))
        for behind, ahead in ((self.scaffold[name], own) for name, own in names):
            theirs = chain(behind.parameters(), behind.buffers())
            yield from zip(theirs, chain(ahead.parameters(), ahead.buffers()), strict=True)

    def follow(self, step: int, steps: int) -> None:
        """Move the teacher towards the student after a step."""
        share = 1 - kept_share(step, self.momentum)
        for mean, own in self._both():
            if mean.is_floating_point():
                mean.lerp_(own, share)
            else:
                mean.copy_(own)

    @torch.no_grad()
    def put(self, data: Data) -> None:
        """Overwrite the student, which predicts from now on, with the teacher."""
        for mean, own in self._both():
            own.copy_(mean)
