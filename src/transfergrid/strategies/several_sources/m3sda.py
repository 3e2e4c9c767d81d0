"""Align the feature moments of several sources and the target (M3SDA)."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import Batch, Count, NotNegative, Range
from transfergrid.strategies.draws import same_draws
from transfergrid.strategies.several_sources.side_by_side import (
    RATES,
    SeveralSources,
    equal,
    weighed,
)


def moment(features: Tensor, order: int) -> Tensor:
    """Return E[X^k], (dim,), with element-wise powers of features (n, dim)."""
    return features.pow(order).mean(0)


def apart(sources: Sequence[Tensor], target: Tensor, order: int) -> Tensor:
    """Return the distance between moments of one order (Peng et al. 2019, definition 1).

    1/N sum_i |E X_i^k - E T^k| + 1/C(N, 2) sum_{i<j} |E X_i^k - E X_j^k|, norms not squared.

    Args:
        sources: features of each, (n, dim).
        target: features, (m, dim).
        order: k.
    """
    means, own = [moment(source, order) for source in sources], moment(target, order)
    to_target = [torch.linalg.vector_norm(mean - own) for mean in means]
    between = [torch.linalg.vector_norm(one - other) for one, other in combinations(means, 2)]
    found = torch.stack(to_target).mean()
    return found + torch.stack(between).mean() if between else found


class M3sda(SeveralSources):
    """Bring the moments of all sources and the target together (M3SDA).

    Declared: moments are raw, as in the paper's definition; the authors' digit code pairs domains
    differently and centres batches row by row. All sources share one head; the paper has one per
    source and averages their predictions. `weight` 0 is `weighted_sources` with equal weights, bit
    for bit. The order of the sources makes no difference.

    Formula:
        mean_i CE(source i) + w sum_k (1/N sum_i |E X_i^k - E T^k| + 1/C(N,2) sum_{i<j} |E X_i^k -
        E X_j^k|), k = 1, 2; labelled target examples join for their share of a batch
    Try it:
        where several labelled sources differ from the target in style, and from each other. Like
        `coral`, it ignores classes
    Cost:
        a batch of each source, and one of unlabelled inputs, at every step; nothing at prediction
    Source:
        Peng et al. 2019, Moment matching for multi-source domain adaptation, ICCV, arXiv
        1812.01754, equation 1

    Args:
        weight: weight of the distance between moments.
        orders: highest order of the moments.
        shared: `lr_factor` and `schedule`.
    """

    space = {"lr_factor": RATES, "weight": Range(1e-3, 1.0, default=0.01)}
    also_called = ("moment_matching", "msda")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def __init__(self, weight: NotNegative = 0.01, orders: Count = 2, **shared: Any) -> None:
        super().__init__(**shared)
        self.weight, self.orders = weight, orders

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen = self.passed(batch)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            other = self.features(batch.unlabelled, recorded=False)
        labelled = seen.with_target(weighed(seen.losses, equal(seen.losses)))
        orders = range(1, self.orders + 1)
        far = torch.stack([apart(seen.features, other, order) for order in orders]).sum()
        return labelled + self.weight * far
