"""Make predictions on unlabelled inputs confident and diverse by their nuclear norm (BNM)."""

import torch
from torch import Tensor

from transfergrid.strategies import Range
from transfergrid.strategies.adaptation.alignment import SAME
from transfergrid.strategies.self_training.predictions import PredictionTerm


def nuclear_norm(logits: Tensor) -> Tensor:
    """Return the nuclear norm of the matrix of probabilities, given logits (batch, classes).

    It is computed in single precision at least: torch has no singular values in half precision.
    """
    said = logits.softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
    found: Tensor = torch.linalg.matrix_norm(said, "nuc")
    return found


class Bnm(PredictionTerm):
    """Make the nuclear norm of a batch's predictions on unlabelled inputs large.

    The norm grows as predictions become more confident and as more classes are predicted: its
    maximum is sqrt(B min(B, C)). It is divided by the batch size B, as in the paper. The authors'
    training code divides by min(B, C), one library multiplies by sqrt(min(B, C)) / B: weights do
    not carry over. A batch with fewer examples than classes cannot contain all classes.

    Formula:
        CE(source, target) - w |P|_* / B, P = softmax of the B unlabelled inputs' logits, (B, C)
    Try it:
        where target inputs come without labels and a batch contains most of the classes; it favours
        many classes, where `entropy_minimization` can collapse to one
    Cost:
        a second forward pass of as many unlabelled inputs a step, and the singular values of a
        matrix of batch times classes; nothing at prediction
    Source:
        Cui et al. 2020, Towards discriminability and diversity: batch nuclear-norm maximization
        under label insufficient situations, CVPR, arXiv 2003.12237, section 3

    Args:
        shared: `weight`, `lr_factor` and `schedule`.
    """

    also_called = ("batch_nuclear_norm_maximization", "batch_nuclear_norm", "nuclear_norm")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")
    assumes = ("equal_shares",)
    space = {"lr_factor": SAME, "weight": Range(0.1, 3.0, default=1.0)}

    def logits_loss(self, logits: Tensor) -> Tensor:
        return -nuclear_norm(logits) / len(logits)
