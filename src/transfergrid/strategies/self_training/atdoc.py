"""Pseudo labels from a memory bank's predictions on the nearest neighbours (ATDOC)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from transfergrid.strategies import (
    Batch,
    Count,
    Inputs,
    NotNegative,
    Objective,
    Phase,
    Range,
    Schedule,
    Share,
    Sizes,
    Strategy,
    evaluating,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED, ADAPTS, READS, SAME
from transfergrid.strategies.draws import same_draws


def sharpened(probabilities: Tensor) -> Tensor:
    """Return p^2 (batch, classes), normalised over the batch: columns sum to 1, not rows.

    The column of a class that has probability 0 in all rows stays 0.
    """
    squares = probabilities.square()
    return squares / squares.sum(0).clamp_min(torch.finfo(squares.dtype).tiny)


def said_nearby(
    features: Tensor, rows: Tensor, memory: tuple[Tensor, Tensor], k: int
) -> tuple[Tensor, Tensor]:
    """Return the mean prediction in memory of each example's k nearest others, and their rows.

    Args:
        features: (batch, dim), of any length.
        rows: each example's own row in the memory, which is left out, (batch,).
        memory: features of length 1, (n, dim), and predictions, (n, classes).
        k: less than n.

    Returns:
        Mean predictions (batch, classes), and rows of the memory (batch, k), the nearest first.
    """
    similar = features @ memory[0].T
    similar = similar.scatter(1, rows.unsqueeze(1), -torch.inf)
    nearest = similar.topk(k, dim=1).indices
    return memory[1][nearest].mean(1), nearest


def agreement(logits: Tensor, said: Tensor) -> Tensor:
    """Return the cross-entropy with the argmax of `said`, weighted by its maximum.

    Args:
        logits: (batch, classes).
        said: scores of classes, (batch, classes); rows need not sum to 1.
    """
    weights, labels = said.max(1)
    losses = cross_entropy(logits, labels, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp_min(torch.finfo(losses.dtype).tiny)


class Atdoc(Strategy):
    """Label unlabelled inputs by what a memory of the target says of their nearest neighbours.

    The memory has a row per unlabelled example; an example's own row is not among its neighbours.
    After each step the rows of its examples are recomputed in eval mode: features of length 1, and
    p^2 normalised over the batch, which favours rare classes; rows do not sum to 1. At the start
    the memory has random directions and equal scores of all classes; among equal scores the first
    class is the label. The base is the labelled loss alone, without an adversary. BatchNorm does
    not record unlabelled inputs, so that `weight` 0 is exactly the baseline; in the authors' code
    it does. In a batch of one example the normalised p^2 is 1 for every class and says nothing.

    Formula:
        CE(source, target) + lambda t / T sum_i w_i CE(p_i, y_i) / sum w; y_i and w_i the argmax and
        the maximum of the mean over k neighbours in the memory
    Try it:
        where target inputs come without labels and lie in clusters by class: neighbours then
        outvote the head's errors within a cluster. Each example must be seen many times, because an
        example not seen yet gives no information to its neighbours
    Cost:
        a second pass of as many unlabelled inputs a step, and a third one without gradients; memory
        of features and class scores for every unlabelled example; nothing at prediction
    Source:
        Liang, Hu & Feng 2021, Domain adaptation with auxiliary target domain-oriented classifier,
        CVPR, arXiv 2007.04171, section 3; reductions as in the authors' code, `atdoc_na`

    Args:
        weight: lambda; the term's weight grows linearly from 0 to it over the steps.
        neighbours: k.
        momentum: share of the new value in an updated row of the memory; 1 replaces the row.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs, baselines = ADAPTS.of("classification"), ADAPTED
    space = {
        "lr_factor": SAME,
        "weight": Range(0.05, 1.0, default=0.2),
        "neighbours": Range(3, 15, log=False, default=5),
    }
    setting, transfers = "transductive", "instances"
    also_called = ("atdoc_na", "auxiliary_target_domain_oriented_classifier")
    badges = ("formula_exact", "trajectory_exact")
    assumes = ("equal_shares",)

    def __init__(
        self,
        weight: NotNegative = 0.2,
        neighbours: Count = 5,
        momentum: Share = 1.0,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight, self.neighbours, self.momentum = weight, neighbours, momentum

    def build(self, sizes: Sizes) -> None:
        directions = normalize(torch.rand(sizes.unlabelled, self.backbone.dim), dim=1)
        even = torch.full((sizes.unlabelled, self.task.outputs), 1 / self.task.outputs)
        self.scaffold.register_buffer("features", directions)
        self.scaffold.register_buffer("said", even)
        self._seen: list[tuple[Inputs, Tensor]] = []  # parts of the current step alone

    @property
    def memory(self) -> tuple[Tensor, Tensor]:
        """Features of length 1, and their class scores."""
        return self.scaffold.get_buffer("features"), self.scaffold.get_buffer("said")

    def phases(self) -> list[Phase]:
        adapt = [Objective(self.loss, self.everything())]
        return [Phase("adapt", adapt, reads=READS, after=self.remember)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        assert batch.rows is not None
        seen = batch.labelled()
        labelled = self.task.loss(self.predict(seen.inputs), seen.labels)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            features = self.features(batch.unlabelled, recorded=False)
        self._note(batch.unlabelled, batch.rows)
        k = min(self.neighbours, len(self.memory[0]) - 1)
        if not k:  # a single example has no neighbour
            return labelled
        own = features.detach().to(self.memory[0].dtype)
        said, _ = said_nearby(own, batch.rows, self.memory, k)
        return labelled + self.weight * progress * agreement(self.head(features), said)

    def _note(self, inputs: Inputs, rows: Tensor) -> None:
        """Store the step's inputs until it ends; more than a whole batch means a new step began."""
        whole = min(self.training_plan.batch_size, len(self.memory[0]))
        if sum(len(own) for _, own in self._seen) + len(rows) > whole:
            self._seen.clear()
        self._seen.append((inputs, rows))

    def remember(self, step: int, steps: int) -> None:
        """Update the memory's rows of the step's examples."""
        seen, self._seen = self._seen, []
        rows = torch.cat([own for _, own in seen])
        with evaluating(self):
            features = torch.cat([self.features(inputs) for inputs, _ in seen])
            said = sharpened(self.head(features).softmax(1))
        for kept, new in zip(self.memory, (normalize(features, dim=1), said), strict=True):
            kept[rows] = kept[rows].lerp(new.to(kept.dtype), self.momentum)
