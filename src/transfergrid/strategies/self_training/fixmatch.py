"""Learn strong views of unlabelled inputs by confident predictions on weak views (FixMatch)."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import Batch, Range, Share, evaluating
from transfergrid.strategies.adaptation.alignment import SAME
from transfergrid.strategies.self_training.predictions import VIEWS, UnlabelledTerm
from transfergrid.strategies.self_training.pseudo_labels import confident_loss


class Fixmatch(UnlabelledTerm):
    """Learn strongly augmented unlabelled inputs by the classes that one is sure of in weak views.

    The weak view is predicted as at test time: in eval mode, with BatchNorm's running statistics,
    without dropout and without gradient. Libraries use training mode. The loss is a mean over all
    unlabelled examples of a batch, confident or not. A batch has as many of them as source
    examples, where the paper has seven for each labelled one.

    Weak views are augmented as all training inputs are (`training.augmentation`). With `none` they
    are the inputs themselves; strong views are strongly augmented all the same. With `strong` both
    views are of the same kind.

    Formula:
        CE(source, target) + w mean 1[max p(weak) > t] CE(f(strong), argmax p(weak)), over the views
        of unlabelled inputs
    Try it:
        where strong augmentation does not change the class, and the source model's confident
        predictions on the target are mostly right
    Cost:
        two forward passes of as many unlabelled inputs a step, one of them without gradient;
        nothing at prediction
    Source:
        Sohn et al. 2020, FixMatch: simplifying semi-supervised learning with consistency and
        confidence, NeurIPS, arXiv 2001.07685, equations 3 and 4

    Args:
        threshold: t, probability above which a prediction is learned.
        shared: `weight`, `lr_factor` and `schedule`.
    """

    also_called = ("fix_match",)
    stackable = True
    badges = ("formula_exact", "trajectory_exact")
    reads = VIEWS
    space = {
        "lr_factor": SAME,
        "weight": Range(0.1, 10.0, default=1.0),
        "threshold": Range(0.5, 0.99, log=False, default=0.95),
    }

    def __init__(self, threshold: Share = 0.95, **shared: Any) -> None:
        super().__init__(**shared)
        self.threshold = threshold

    def unlabelled_loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.views is not None
        weak, strong = batch.views
        with torch.no_grad(), evaluating(self):
            said = self.predict(weak).softmax(1)
        return confident_loss(self.logits(strong), said, self.threshold)
