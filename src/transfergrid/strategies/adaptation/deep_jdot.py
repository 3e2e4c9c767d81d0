"""Optimal transport of a source batch's features and labels to a target batch (DeepJDOT)."""

from typing import Any, Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import eye_array, kron, vstack
from torch import Tensor
from torch.nn.functional import one_hot

from transfergrid.strategies import (
    Batch,
    NotNegative,
    Objective,
    Phase,
    Range,
    Schedule,
    Strategy,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED, ADAPTS, READS, SAME
from transfergrid.strategies.adaptation.kernels import squared_distances
from transfergrid.strategies.draws import same_draws


def cheapest_plan(costs: Tensor) -> Tensor:
    """Return the optimal transport plan with equal masses: rows sum to 1 / n, columns to 1 / m.

    The solution is exact, computed on the CPU in double precision, and has no gradient.

    Args:
        costs: cost of each pair of an example of one domain and one of the other, (n, m).
    """
    told = np.nan_to_num(costs.detach().cpu().double().numpy())
    n, m = told.shape
    if n == m:  # then an optimal plan is an assignment
        plan = np.zeros((n, n))
        plan[linear_sum_assignment(told)] = 1 / n
    else:
        sums = [kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))]
        masses = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
        plan = linprog(told.ravel(), A_eq=vstack(sums), b_eq=masses).x.reshape(n, m)
    return torch.from_numpy(plan).to(costs)


def label_costs(labels: Tensor, logits: Tensor, kind: str) -> Tensor:
    """Return the cost of each label under each prediction, (n, m).

    Args:
        labels: (n,).
        logits: (m, classes).
        kind: "cross_entropy", or "squared_error" between the one-hot label and probabilities.
    """
    if kind == "cross_entropy":
        return -logits.log_softmax(1).T[labels]
    return squared_distances(one_hot(labels, logits.shape[1]).to(logits), logits.softmax(1))


class DeepJdot(Strategy):
    """Carry each batch of the source over to the target, features and labels, at least cost.

    A plan says which source example goes to which target example. It is solved exactly for each
    batch and held fixed while the step lowers the costs under it. Declared: label costs are
    cross-entropy in plan and loss, as in the paper; the authors' code finds the plan by squared
    error, which `plan` can select. Each example has the same mass. Squared distances of features
    are summed over dimensions. Labelled target examples are not transported. Batches are those of
    all arms, not balanced by class as in the authors' code. The plan between two batches is a
    biased estimate of the plan between the domains. BatchNorm does not record unlabelled inputs, so
    that `weight` 0 is exactly the baseline.

    Formula:
        CE(source, target) + w min over plans g of sum g_ij (alpha |f_i - f_j|^2 + CE(y_i, p_j))
    Try it:
        where target inputs come without labels, classes are about equally frequent in both domains
        and batches are large: in small ones the domains' class frequencies differ by chance, yet
        every target example is matched, and so wrong labels are carried over
    Cost:
        a second forward pass of as many unlabelled inputs a step, distances of all pairs of a
        batch, and an assignment on the CPU; nothing at prediction
    Source:
        Damodaran et al. 2018, DeepJDOT: Deep joint distribution optimal transport for unsupervised
        domain adaptation, ECCV, arXiv 1803.10081, section 3

    Args:
        weight: weight of the whole transport cost; the paper's lambda_t, which weighs labels.
        alpha: relative weight of the feature distances: the paper's alpha over its lambda_t.
        plan: the label costs by which the plan is found.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs, baselines = ADAPTS.of("classification"), ADAPTED
    space = {
        "lr_factor": SAME,
        "weight": Range(1e-2, 10.0, default=1.0),
        "alpha": Range(1e-4, 1.0, default=0.01),
    }
    setting, transfers = "transductive", "features"
    also_called = ("deepjdot", "jdot", "joint_distribution_optimal_transport")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        weight: NotNegative = 1.0,
        alpha: NotNegative = 0.01,
        plan: Literal["cross_entropy", "squared_error"] = "cross_entropy",
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight, self.alpha, self.plan = weight, alpha, plan

    def phases(self) -> list[Phase]:
        return [Phase("adapt", [Objective(self.loss, self.everything())], reads=READS)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen, own = batch.labelled(), batch.source[0].labels
        features = self.features(seen.inputs)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            other = self.features(batch.unlabelled, recorded=False)
        labelled = self.task.loss(self.head(features), seen.labels)
        return labelled + self.weight * self.transport(features[: len(own)], own, other)

    def transport(self, source: Tensor, labels: Tensor, target: Tensor) -> Tensor:
        """Return the cost of the optimal plan for features (batch, dim) and labels, a scalar."""
        apart = self.alpha * squared_distances(source, target)
        logits = self.head(target)
        costs = apart + label_costs(labels, logits, "cross_entropy")
        by_squares = self.plan == "squared_error"
        told = apart + label_costs(labels, logits, "squared_error") if by_squares else costs
        return (cheapest_plan(told) * costs).sum()
