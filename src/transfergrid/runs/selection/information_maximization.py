"""The rule `information_maximization`: how confident predictions are, and how diverse."""

from torch import Tensor

from transfergrid.runs.selection.entropy import mean_entropy


def information(logits: Tensor) -> float:
    """Return the entropy of the mean prediction minus the mean entropy (Shi & Sha 2012).

    More is better. It assumes equally frequent classes, which label shift breaks.

    Args:
        logits: (n, classes), of all examples of a look, not of a batch.
    """
    mean = logits.softmax(1).mean(0)
    return float(-(mean * mean.clamp_min(1e-30).log()).sum()) - mean_entropy(logits)
