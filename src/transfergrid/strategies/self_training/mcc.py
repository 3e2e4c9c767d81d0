"""Minimise the confusion between classes in predictions on unlabelled inputs (MCC)."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import Positive, Range
from transfergrid.strategies.adaptation.alignment import SAME
from transfergrid.strategies.self_training.entropy_minimization import entropies
from transfergrid.strategies.self_training.predictions import PredictionTerm


def confusion(logits: Tensor, temperature: float) -> Tensor:
    """Return the class confusion in a batch, at least 0 (Jin et al. 2020, section 3.2).

    A class whose probability is next to 0 in all rows counts as confused with none.

    Args:
        logits: (batch, classes).
        temperature: T, divides the logits.
    """
    said = (logits / temperature).softmax(1)
    weights = 1 + torch.exp(-entropies(logits / temperature).detach())
    weighted = said * (len(said) * weights / weights.sum()).unsqueeze(1)
    both = weighted.T @ said
    shares = both / both.sum(1, keepdim=True).clamp_min(torch.finfo(both.dtype).tiny)
    return (shares.sum() - shares.trace()) / logits.shape[1]


class Mcc(PredictionTerm):
    """Let no two classes be confused in what is said of unlabelled inputs.

    Predictions are softened by T. The more confident a prediction is, the larger its example's
    weight; no gradient passes through the weights. Whether rows or columns of the confusion matrix
    are normalised makes no difference, because it is symmetric. Labelled examples are left out.

    Formula:
        CE(source, target) + w (1 - tr(R) / C), R = P' diag(v) P with its rows made to sum to 1,
        P = softmax(logits / T) of the B unlabelled inputs, v = B (1 + e^-H) / sum(1 + e^-H)
    Try it:
        where target inputs come without labels and a few classes are taken for each other; it
        aligns no features, and a class that is absent from a batch costs nothing
    Cost:
        a second forward pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Jin, Wang, Long & Wang 2020, Minimum class confusion for versatile domain adaptation, ECCV,
        arXiv 1912.03699, section 3.2; T as in the authors' library

    Args:
        temperature: T.
        shared: `weight`, `lr_factor` and `schedule`.
    """

    also_called = ("minimum_class_confusion", "class_confusion")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")
    space = {
        "lr_factor": SAME,
        "weight": Range(0.1, 10.0, default=1.0),
        "temperature": Range(0.2, 5.0, default=2.5),
    }

    def __init__(self, temperature: Positive = 2.5, **shared: Any) -> None:
        super().__init__(**shared)
        self.temperature = temperature

    def logits_loss(self, logits: Tensor) -> Tensor:
        return confusion(logits, self.temperature)
