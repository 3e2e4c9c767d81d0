"""Learn unlabelled inputs by the model's own confident predictions."""

from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from transfergrid.strategies import Range, Share
from transfergrid.strategies.adaptation.alignment import SAME
from transfergrid.strategies.self_training.predictions import PredictionTerm


def confident_loss(logits: Tensor, said: Tensor, threshold: float) -> Tensor:
    """Return the cross-entropy with the most probable class, where its probability is large enough.

    It is a mean over all examples; those below the threshold count as 0.

    Args:
        logits: the logits that learn, (batch, classes).
        said: the probabilities to learn from, (batch, classes); no gradient flows into them.
        threshold: the largest probability must exceed it.
    """
    sure, labels = said.detach().max(1)
    each = cross_entropy(logits, labels, reduction="none")
    return (each * (sure > threshold)).mean()


class PseudoLabels(PredictionTerm):
    """Learn unlabelled inputs by the classes that the model itself is sure of.

    Labels come from the same forward pass that learns them, so they change from step to step, and
    one pass is enough. The loss is a mean over all unlabelled examples of a batch, so the few that
    exceed the threshold at first have little weight. The threshold is from later code: the paper
    takes all labels and lets their weight rise from 0 instead. `threshold: 0` takes all labels from
    the start.

    Formula:
        CE(source, target) + w mean 1[max p(x) > t] CE(f(x), argmax p(x)), over unlabelled x
    Try it:
        where the source model's confident predictions on the target are mostly right; confident
        errors stay
    Cost:
        a second forward pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Lee 2013, Pseudo-label: the simple and efficient semi-supervised learning method for deep
        neural networks, ICML workshop, equations 14 and 15; a threshold as in later code,
        from .9 to .95

    Args:
        threshold: t, probability above which a prediction is learned.
        shared: `weight`, `lr_factor` and `schedule`.
    """

    also_called = ("pseudo_label", "pseudo_labelling", "pseudo_labeling", "self_training")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")
    space = {
        "lr_factor": SAME,
        "weight": Range(0.1, 10.0, default=1.0),
        "threshold": Range(0.5, 0.99, log=False, default=0.95),
    }

    def __init__(self, threshold: Share = 0.95, **shared: Any) -> None:
        super().__init__(**shared)
        self.threshold = threshold

    def logits_loss(self, logits: Tensor) -> Tensor:
        return confident_loss(logits, logits.softmax(1), self.threshold)
