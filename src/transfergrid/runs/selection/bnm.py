"""The rule `bnm`: how confident and how diverse predictions are, by their nuclear norm."""

import torch
from torch import Tensor


def nuclear_norm(logits: Tensor) -> float:
    """Return the nuclear norm of predictions divided by n (Cui et al. 2020); more is better.

    At most sqrt(min(n, classes) / n), reached by confident predictions, equally many per class.

    Args:
        logits: (n, classes), of all examples of a look, not of a batch.
    """
    return float(torch.linalg.svdvals(logits.softmax(1)).sum()) / len(logits)
