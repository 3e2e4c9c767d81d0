"""Align the joint distributions of features and predictions of two domains (JAN)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from transfergrid.strategies import Positive, Positives, Range
from transfergrid.strategies.adaptation.alignment import ADAPTS, SAME, FeatureAlignment
from transfergrid.strategies.adaptation.kernels import (
    FIVE,
    discrepancy,
    gaussian_kernels,
    squared_distances,
)


def joint_kernel(
    features: Tensor, logits: Tensor, multiples: Sequence[float], sigma: float
) -> Tensor:
    """Return the product of a kernel on features and a kernel on probabilities, (n, n).

    Args:
        features: features of both domains, (n, d).
        logits: logits of the same examples, (n, classes).
        multiples: multiples of the features' bandwidth, one kernel each.
        sigma: width of the kernel on probabilities.
    """
    said = logits.softmax(1)
    predicted = (-squared_distances(said, said) / (2 * sigma**2)).exp()
    return gaussian_kernels(features, multiples) * predicted


class Jan(FeatureAlignment):
    """Bring the joint distributions of features and predictions of two domains together (JAN).

    Declared: the two kernel matrices are multiplied entry by entry before anything is summed; this
    is not the sum of two discrepancies. The kernels on features are those of `mmd`, with the same
    bandwidth; on predictions, after softmax, there is one kernel of fixed width. Predictions are
    not detached: the head learns from the discrepancy too. The paper's adversarial form is left
    out. A batch of one example gives no estimate; then nothing is added.

    Formula:
        CE(source, target) + w MMD^2 under k(f, f') exp(-|p - p'|^2 / (2 sigma^2)), k as in `mmd`
    Try it:
        as `mmd`, where classes should be aligned and not only features: domains on which
        predictions are confident and mostly right
    Cost:
        that of `mmd`
    Source:
        Long et al. 2017, Deep transfer learning with joint adaptation networks, ICML, arXiv
        1605.06636, section 4; widths as in the Transfer Learning Library

    Args:
        weight: weight of the discrepancy.
        multiples: multiples of the features' bandwidth, one kernel each.
        sigma: width of the kernel on probabilities.
        estimator: `unbiased`, `biased`, or `linear`, which uses only pairs of neighbours in a
            batch, each example with the next one; the paper takes every other such pair.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = ADAPTS.of("classification")
    space = {"lr_factor": SAME, "weight": Range(0.1, 10.0, default=1.0)}
    also_called = ("joint_adaptation_network", "joint_mmd")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        multiples: Positives = FIVE,
        sigma: Positive = 0.92,
        estimator: Literal["unbiased", "biased", "linear"] = "unbiased",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.multiples, self.sigma, self.estimator = tuple(multiples), sigma, estimator

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        if min(len(source), len(target)) < 2:
            return source.new_zeros(())
        features = torch.cat([source, target])
        kernel = joint_kernel(features, self.head(features), self.multiples, self.sigma)
        return discrepancy(kernel, len(source), self.estimator)
