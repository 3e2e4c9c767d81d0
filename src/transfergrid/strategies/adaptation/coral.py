"""Align the covariances of source and target features (Deep CORAL)."""

import torch
from torch import Tensor

from transfergrid.strategies.adaptation.alignment import FeatureAlignment


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Return |C_s - C_t|_F^2 / (4 d^2), covariances with n - 1 (Sun & Saenko 2016, equation 1).

    Args:
        source: features, (n, d), n from 2.
        target: features, (m, d), m from 2.
    """
    apart = torch.cov(source.T) - torch.cov(target.T)
    return apart.square().sum() / (4 * source.shape[1] ** 2)


class Coral(FeatureAlignment):
    """Bring the covariances of source and target features together (Deep CORAL).

    A batch of one example has no covariance; then nothing is added.

    Formula:
        CE(source, target) + w |C_s - C_t|^2 / (4 d^2), covariances with n - 1
    Try it:
        where target inputs come without labels and differ from the source in style; the mildest of
        the alignments. It does not see a shift of the mean, nor classes
    Cost:
        a second forward pass of as many unlabelled inputs a step; d^2 of memory; nothing at
        prediction
    Source:
        Sun & Saenko 2016, Deep CORAL, ECCV workshops, arXiv 1607.01719, equation 1
    """

    also_called = ("deep_coral", "correlation_alignment")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        if min(len(source), len(target)) < 2:
            return source.new_zeros(())
        return coral(source, target)
