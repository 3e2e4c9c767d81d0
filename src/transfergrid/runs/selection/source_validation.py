"""How good a strategy is on the source."""

from collections.abc import Callable

from torch import Tensor


def score_on_source(
    logits: Tensor, labels: Tensor, score: Callable[[Tensor, Tensor], float]
) -> float:
    """Return the score on source examples that nothing was learned from; more is better.

    Of the target it says nothing.

    Args:
        logits: (n, classes).
        labels: (n,).
        score: of probabilities and labels.
    """
    return score(logits.softmax(1).float(), labels)
