"""The rule `entropy`: how confident predictions are."""

from torch import Tensor


def mean_entropy(logits: Tensor) -> float:
    """Return the mean entropy of predictions, nats; less is better (Morerio et al. 2018).

    A model that confidently predicts one class for everything has the least entropy.

    Args:
        logits: (n, classes).
    """
    said = logits.log_softmax(1)
    return float(-(said.exp() * said).sum(1).mean())
