"""Make a model confident in its predictions on unlabelled inputs, by minimising their entropy."""

from typing import Any

from torch import Tensor

from transfergrid.strategies import NotNegative, Range
from transfergrid.strategies.adaptation.alignment import SAME
from transfergrid.strategies.self_training.predictions import PredictionTerm


def entropies(logits: Tensor) -> Tensor:
    """Return the entropy of each prediction in nats, (batch,), given logits (batch, classes)."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


class EntropyMinimization(PredictionTerm):
    """Be sure of what is said of unlabelled inputs.

    The entropy is in nats, averaged over the batch, and not divided by log C. Predicting one class
    for all inputs minimises it too, so collapse is its usual failure; the record flags it. Where
    all classes are equally likely there is no gradient.

    The labelled loss is one mean over a source batch and a target batch. The later code (Saito et
    al.) takes as many examples of either, and repeats target labels where they are few; here each
    label is in a step once, and b target labels beside B source labels have weight b / (B + b).

    Formula:
        CE(source, target) + w mean H(p(x)), over unlabelled x
    Try it:
        where the source model is right more often than not on the target and classes are well
        separated; use a small weight. A model that is mostly wrong becomes confidently wrong
    Cost:
        a second forward pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Grandvalet & Bengio 2004, Semi-supervised learning by entropy minimization, NIPS, equation
        6; beside a source as ENT in Saito et al. 2019, arXiv 1904.06487, with its weight

    Args:
        weight: weight of the entropy.
        shared: `lr_factor` and `schedule`.
    """

    also_called = ("ent", "entropy_regularization", "entropy_regularisation")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")
    space = {"lr_factor": SAME, "weight": Range(1e-3, 1.0, default=0.1)}

    def __init__(self, weight: NotNegative = 0.1, **shared: Any) -> None:
        super().__init__(weight, **shared)

    def logits_loss(self, logits: Tensor) -> Tensor:
        return entropies(logits).mean()
