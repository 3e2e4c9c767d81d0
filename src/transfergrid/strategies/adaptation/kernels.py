"""Gaussian kernels between the examples of two domains, and the discrepancy (MMD) they give."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Estimator: TypeAlias = Literal["unbiased", "biased", "linear"]
FIVE = (0.125, 0.25, 0.5, 1.0, 2.0)
"""Multiples of the bandwidth, 2^-3 to 2, as in the Transfer Learning Library."""
TINY = 1e-12


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Return |x_i - y_j|^2, (n, m), computed from differences: exactly 0 for equal points.

    Args:
        one: points x, (n, d).
        other: points y, (m, d).
    """
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").square()


def gaussian_kernels(points: Tensor, multiples: Sequence[float]) -> Tensor:
    """Return the sum over a of exp(-|x_i - x_j|^2 / (2 a s)), (n, n).

    s is the mean of all n^2 squared distances, zeros included, and has no gradient.

    Args:
        points: examples of both domains, (n, d).
        multiples: the values of a, one kernel each.
    """
    apart = squared_distances(points, points)
    bandwidth = apart.detach().mean().clamp_min(TINY)
    kernels = [(-apart / (2 * multiple * bandwidth)).exp() for multiple in multiples]
    return torch.stack(kernels).sum(0)


def discrepancy(kernel: Tensor, first: int, estimator: Estimator) -> Tensor:
    """Return MMD^2 of two domains (Gretton et al. 2012, equations 3 and 5), a scalar.

    Args:
        kernel: kernel values of all pairs, with the examples of one domain first, (n + m, n + m).
        first: n, the number of examples of that domain; n and m are at least 2.
        estimator: "biased" includes the pairs of an example with itself. "unbiased" leaves them out
            and may be negative. "linear" uses only the first min(n, m) examples of each domain, and
            of these only neighbours i and i + 1, cyclically: unbiased too, and noisier.
    """
    one, other, across = kernel[:first, :first], kernel[first:, first:], kernel[:first, first:]
    if estimator == "linear":
        pairs = min(one.shape[0], other.shape[0])
        next_to = [part[:pairs, :pairs].roll(-1, 1).diagonal() for part in (one, other, across)]
        back = across[:pairs, :pairs].roll(-1, 0).diagonal()
        return (next_to[0] + next_to[1] - next_to[2] - back).mean()
    if estimator == "biased":
        return one.mean() + other.mean() - 2 * across.mean()
    return _without_itself(one) + _without_itself(other) - 2 * across.mean()


def _without_itself(kernel: Tensor) -> Tensor:
    """Return the mean of a kernel (n, n) over all pairs of two different examples."""
    n = kernel.shape[0]
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
