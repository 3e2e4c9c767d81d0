"""Align the feature distributions of source and target by the kernel discrepancy MMD (DAN)."""

from typing import Any, Literal

import torch
from torch import Tensor

from transfergrid.strategies import Positives, Range
from transfergrid.strategies.adaptation.alignment import SAME, FeatureAlignment
from transfergrid.strategies.adaptation.kernels import (
    FIVE,
    discrepancy,
    gaussian_kernels,
)


class Mmd(FeatureAlignment):
    """Bring the distributions of source and target features together, as kernels see them (DAN).

    Declared, because libraries differ and their weights do not carry over: kernels are Gaussian in
    squared distances, and summed, not averaged. The bandwidth s is the mean of all squared
    distances in the batch of both domains, those of an example to itself included; it has no
    gradient. The default estimator leaves out pairs of an example with itself, so the value may be
    negative. Features are the embedding that the head gets. A batch of one example gives no
    estimate; then nothing is added.

    Formula:
        CE(source, target) + w MMD^2(f_s, f_t), k(x, y) = sum_a exp(-|x - y|^2 / (2 a s))
    Try it:
        where target inputs come without labels and their features differ in more than the
        covariance, which is all that `coral` sees; batches should be large. It ignores classes
    Cost:
        a second forward pass of as many unlabelled inputs a step, and the distances of all pairs
        of a batch; nothing at prediction
    Source:
        Long et al. 2015, Learning transferable features with deep adaptation networks, ICML, arXiv
        1502.02791, section 3; the kernels' weights are not learned, as in the Transfer
        Learning Library, whose bandwidths these are

    Args:
        weight: weight of the discrepancy.
        multiples: a, multiples of the bandwidth, one kernel each.
        estimator: `unbiased`, `biased`, or `linear`, which uses only pairs of neighbours in a
            batch, each example with the next one; the paper takes every other such pair.
        layers: `both` adds the discrepancy of the head's outputs, with a bandwidth of their own.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    space = {"lr_factor": SAME, "weight": Range(0.1, 10.0, default=1.0)}
    also_called = ("dan", "deep_adaptation_network", "maximum_mean_discrepancy", "mk_mmd")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        multiples: Positives = FIVE,
        estimator: Literal["unbiased", "biased", "linear"] = "unbiased",
        layers: Literal["features", "both"] = "features",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.multiples, self.estimator, self.layers = tuple(multiples), estimator, layers

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        if min(len(source), len(target)) < 2:
            return source.new_zeros(())
        points = torch.cat([source, target])
        layers = [points, self.head(points)] if self.layers == "both" else [points]
        kernels = [gaussian_kernels(layer, self.multiples) for layer in layers]
        return torch.stack([discrepancy(k, len(source), self.estimator) for k in kernels]).sum()
