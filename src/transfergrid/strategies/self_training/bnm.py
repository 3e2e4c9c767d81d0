"""Let a batch of unlabelled inputs be predicted surely and as many classes, by one norm."""

import torch
from torch import Tensor

from transfergrid.strategies import Range
from transfergrid.strategies.adaptation.alignment import SAME
from transfergrid.strategies.self_training.predictions import PredictionTerm


def nuclear_norm(logits: Tensor) -> Tensor:
    """Return the sum of the singular values of the probabilities of logits (batch, classes).

    There are none in half precision: it is computed in single precision at least.
    """
    said = logits.softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
    found: Tensor = torch.linalg.matrix_norm(said, "nuc")
    return found


class Bnm(PredictionTerm):
    """Make the nuclear norm of a batch's predictions on unlabelled inputs large.

    The norm grows as predictions become sure, and as more classes are among them: its largest value
    is sqrt(B min(B, C)). It is divided by the batch size B, as in the paper. The authors' training
    code divides by min(B, C), one library multiplies by sqrt(min(B, C)) / B: weights do not carry
    over. A batch of fewer examples than there are classes cannot hold them all.

    Formula:
        CE(source, target) - w |P|_* / B, P = softmax of the B unlabelled inputs' logits, (B, C)
    Try it:
        where target inputs come without labels and a batch holds most of the classes; it presumes
        that many are there, where `entropy_minimization` can end in one
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
