"""The rule `source_validation`: how good a strategy is on held-out source examples."""

from collections.abc import Callable

from torch import Tensor


def score_on_source(
    logits: Tensor, labels: Tensor, score: Callable[[Tensor, Tensor], float]
) -> float:
    """Return the score on held-out source examples; more is better.

    It says nothing about the target.

    Args:
        logits: (n, classes).
        labels: (n,).
        score: scores probabilities against labels.
    """
    return score(logits.softmax(1).float(), labels)
