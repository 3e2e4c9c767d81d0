"""How sure predictions are, and of how many classes."""

from torch import Tensor

from transfergrid.runs.selection.entropy import mean_entropy


def information(logits: Tensor) -> float:
    """Return the entropy of the mean prediction less the mean entropy (Shi & Sha 2012).

    More is better. It takes classes for equally frequent, which label shift breaks.

    Args:
        logits: (n, classes), of all that is looked at and not of a batch.
    """
    mean = logits.softmax(1).mean(0)
    return float(-(mean * mean.clamp_min(1e-30).log()).sum()) - mean_entropy(logits)
