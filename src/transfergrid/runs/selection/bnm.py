"""How sure and how varied predictions are, as one norm."""

import torch
from torch import Tensor


def nuclear_norm(logits: Tensor) -> float:
    """Return the nuclear norm of predictions over their number (Cui et al. 2020); more is better.

    At most sqrt(min(n, classes) / n), which sure predictions of all classes alike reach.

    Args:
        logits: (n, classes), of all that is looked at and not of a batch.
    """
    return float(torch.linalg.svdvals(logits.softmax(1)).sum()) / len(logits)
