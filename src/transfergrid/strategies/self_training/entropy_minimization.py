"""Let a model be sure of what it says of unlabelled inputs."""

from typing import Any

from torch import Tensor

from transfergrid.strategies import NotNegative, Range
from transfergrid.strategies.adaptation.alignment import SAME
from transfergrid.strategies.self_training.predictions import PredictionTerm


def entropies(logits: Tensor) -> Tensor:
    """Return the entropy of each prediction, in nats, (batch,), of logits (batch, classes)."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


class EntropyMinimization(PredictionTerm):
    """Be sure of what is said of unlabelled inputs.

    The entropy is in nats, a mean over the batch, and not divided by log C. One class for all
    inputs is its least too, so a collapsed run is its usual failure: the record flags it. Where all
    classes are said to be equally likely there is no gradient.

    The loss of what is labelled is one mean over a source batch and a target batch. The authors'
    later code takes as many of either, and repeats few target labels for it; here each label is
    once in a step, and b of them beside B of the source weigh b / (B + b).

    Formula:
        CE(source, target) + w mean H(p(x)), over unlabelled x
    Try it:
        where the source model is right more often than not on the target and classes lie apart;
        a small weight. Where it is mostly wrong it becomes sure of that
    Cost:
        a second forward pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Grandvalet & Bengio 2004, Semi-supervised learning by entropy minimization, NIPS, equation
        6; beside a source as ENT in Saito et al. 2019, arXiv 1904.06487, with its weight

    Args:
        weight: of the entropy.
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
