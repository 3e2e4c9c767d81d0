"""Let the norms of both domains' features grow: features of small norm transfer badly (AFN)."""

import math
from typing import Any, Literal

import torch
from torch import Tensor

from transfergrid.strategies import NotNegative, Positive, Range, Schedule
from transfergrid.strategies.adaptation.alignment import SAME, FeatureAlignment


def stepwise(features: Tensor, delta: float, largest: float = math.inf) -> Tensor:
    """Return mean (|f| - c - delta)^2, c being |f| without a gradient.

    Its gradient makes each norm below `largest` grow. Its value is delta^2 times the share of such
    features, and so carries no information.

    Args:
        features: (n, dim).
        delta: how much larger each norm should become.
        largest: norm from which on a feature is no longer pushed.
    """
    norms = torch.linalg.vector_norm(features, dim=1)
    grows = norms.detach() < largest
    found: Tensor = ((norms - norms.detach() - delta).square() * grows).mean()
    return found


def hard(features: Tensor, radius: float) -> Tensor:
    """Return (mean |f| - radius)^2 of features (n, dim); the mean norm is held, not each norm."""
    norms: Tensor = torch.linalg.vector_norm(features, dim=1)
    return (norms.mean() - radius).square()


class Afn(FeatureAlignment):
    """Let the norms of source and target features grow, step by step (adaptive feature norm).

    By itself the growth would never end, and ever longer features make the head ever surer. So the
    stepwise form has a stopping rule, which is ours: an example whose features have reached the
    root mean square `limit` is pushed no further. In training the paper multiplies features by
    sqrt(1 - p) where dropout lies before them; here they are used as the network gives them.

    Formula:
        CE(source, target) + w (A(f_s) + A(f_t)); stepwise A(f) = mean (|f| - c - d)^2, c being |f|
        without a gradient; hard A(f) = (mean |f| - R)^2
    Try it:
        where target features have smaller norms than the source's, as they often do; it ignores
        classes and directions, and so does little harm
    Cost:
        a second forward pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Xu et al. 2019, Larger norm more transferable, ICCV, arXiv 1811.07456, equations 4 (hard)
        and 7 (stepwise)

    Args:
        weight: weight of the term that makes norms grow.
        delta: d, how much larger each norm should become.
        form: `stepwise` pulls each norm to d more than it is; `hard` pulls the mean norm to R.
        radius: R of the hard form.
        limit: root mean square of an example's features at which the stepwise form stops pushing;
            null: never.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    space = {
        "lr_factor": SAME,
        "weight": Range(5e-3, 0.5, default=0.05),
        "delta": Range(0.1, 1.0, default=1.0),
    }
    also_called = ("safn", "adaptive_feature_norm", "stepwise_adaptive_feature_norm")
    variants = dict.fromkeys(("hafn", "hard_adaptive_feature_norm"), "strategy.form=hard")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        weight: NotNegative = 0.05,
        delta: Positive = 1.0,
        form: Literal["stepwise", "hard"] = "stepwise",
        radius: Positive = 25.0,
        limit: Positive | None = 10.0,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(weight, schedule, **shared)
        self.delta, self.form, self.radius, self.limit = delta, form, radius, limit

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        return self.growth(source) + self.growth(target)

    def growth(self, features: Tensor) -> Tensor:
        """Return the loss that makes the norms of one domain's features (batch, dim) grow."""
        if self.form == "hard":
            return hard(features, self.radius)
        largest = math.inf if self.limit is None else self.limit * math.sqrt(features.shape[1])
        return stepwise(features, self.delta, largest)
