"""Bring the second moments of source and target features together."""

import torch
from torch import Tensor

from transfergrid.strategies.adaptation.alignment import FeatureAlignment


def coral(source: Tensor, target: Tensor) -> Tensor:
    """|C_s - C_t|_F^2 / 4 d^2, of covariances with n - 1 (Sun & Saenko 2016, equation 1).

    Args:
        source: features, (n, d), n from 2.
        target: features, (m, d), m from 2.
    """
    apart = torch.cov(source.T) - torch.cov(target.T)
    return apart.square().sum() / (4 * source.shape[1] ** 2)


class Coral(FeatureAlignment):
    """Deep CORAL; of a batch of one example nothing is known, and nothing is added."""

    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        if min(len(source), len(target)) < 2:
            return source.new_zeros(())
        return coral(source, target)
