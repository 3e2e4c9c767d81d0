"""Source examples moved to the target by optimal transport, and a linear head fitted to them."""

from typing import Literal

import numpy as np

from transfergrid.strategies import Count, Positive, Range
from transfergrid.strategies.closed_form.softmax_regression import Floats
from transfergrid.strategies.shallow.frozen import C, Frozen, OnFrozenFeatures, linear_head, spread
from transfergrid.strategies.shallow.kernels import drawn, squared_distances

ITERATIONS = 5000
RIDGE = 1e-3
"""Added to the variances in a Gaussian map, relative to the mean variance of a feature."""


def exact_plan(cost: Floats) -> Floats:
    """Return the optimal plan: the mass from each source to each target example, (n, m), sum 1.

    Args:
        cost: (n, m); all examples of a domain have the same mass.
    """
    import ot

    n, m = cost.shape
    return np.asarray(ot.emd(np.full(n, 1 / n), np.full(m, 1 / m), cost, numItermax=10_000_000))


def entropic_plan(cost: Floats, regularisation: float) -> Floats:
    """Return the plan (n, m) that minimises cost - `regularisation` * entropy, by Sinkhorn.

    Args:
        cost: (n, m).
        regularisation: strength, in the unit of the cost.
    """
    import ot

    n, m = cost.shape
    cost = cost - cost.min(axis=1, keepdims=True)  # the same plan, but exp does not underflow
    cost = cost - cost.min(axis=0)
    told = np.full(n, 1 / n), np.full(m, 1 / m)
    return np.asarray(ot.sinkhorn(*told, cost, regularisation, numItermax=ITERATIONS))


def barycentres(plan: Floats, target: Floats) -> Floats:
    """Return for each source row the plan's weighted mean of the target's rows (m, d): (n, d)."""
    return np.asarray(plan @ target / plan.sum(axis=1, keepdims=True))


def displaced(rows: Floats, known: Floats, moved: Floats) -> Floats:
    """Return rows (k, d), each moved by the displacement of the nearest row of `known`.

    Args:
        rows: the rows to move, (k, d).
        known: rows whose destination is known, (n, d).
        moved: their destinations, (n, d).
    """
    nearest = squared_distances(rows, known).argmin(axis=1)
    return np.asarray(rows + (moved - known)[nearest])


def gaussian_map(source: Floats, target: Floats, ridge: float) -> Floats:
    """Return source rows (n, d) moved by the affine map that is optimal between two Gaussians.

    Args:
        source: (n, d).
        target: (m, d).
        ridge: added to all variances, which are divided by n and by m.
    """
    import ot

    matrix, moved = ot.gaussian.empirical_bures_wasserstein_mapping(source, target, reg=ridge)
    return np.asarray(source @ matrix + moved)


class OptimalTransport(OnFrozenFeatures):
    """Source examples are moved to the target by optimal transport, and a linear head is fitted.

    A plan says how much mass of each source example goes to each target example, with the least sum
    of squared distances. Each source example is then moved to the weighted mean of its
    destinations. `exact` solves the linear programme. `entropic` uses Sinkhorn's algorithm, with a
    regularisation relative to the median cost: the larger it is, the nearer all examples come to
    the target's mean. Plans are between at most `examples` of each domain, drawn by the seed; every
    other source example moves as the nearest drawn one does. `gaussian` is the affine map between
    two Gaussians, applied to all source examples. Target examples are never moved, so the head
    predicts from their features as they are. Mass is conserved: where class frequencies differ
    between the domains, some source examples go to another class. The record tells how far the
    source moved, as a root mean square relative to the spread of both domains.

    Formula:
        min_G sum_ij G_ij |s_i - t_j|^2, G 1 = 1 / n, G' 1 = 1 / m; s_i <- sum_j G_ij t_j / sum_j
        G_ij; then a linear head
    Try it:
        where class frequencies are alike and a class in one domain is near to itself in the other
    Cost:
        a linear programme with `examples` squared variables: seconds; nothing at prediction
    Source:
        Courty et al. 2017, Optimal Transport for Domain Adaptation, PAMI 39, arXiv 1507.00504,
        equations 6 and 14; further examples: Ferradans et al. 2014, SIAM J. Imaging Sciences 7;
        solvers of POT, Flamary et al. 2021, JMLR 22

    Args:
        plan: `exact`, `entropic` or `gaussian`.
        regularisation: regularisation of an entropic plan, relative to the median cost.
        examples: maximum number of examples of each domain in a plan.
        c: C of the head.
    """

    space = {"c": C, "regularisation": Range(0.02, 1.0, default=0.05)}
    also_called = ("ot_mapping", "ot")
    badges = ("formula_exact",)
    finds = ("moved",)

    def __init__(
        self,
        plan: Literal["exact", "entropic", "gaussian"] = "exact",
        regularisation: Positive = 0.05,
        examples: Count = 1000,
        c: Positive = 1.0,
    ) -> None:
        super().__init__(c)
        self.plan, self.regularisation, self.examples = plan, regularisation, examples

    def adapt(self, seen: Frozen) -> None:
        unit = spread(np.vstack([seen.source, seen.target]))
        moved = self.transported(seen.source / unit, seen.target / unit) * unit
        self.note(moved=float(np.sqrt(np.square(moved - seen.source).sum(axis=1).mean()) / unit))
        self.put(*linear_head(self.task, seen.pooled(moved), seen.pooled_labels, self.c))

    def transported(self, source: Floats, target: Floats) -> Floats:
        """Return where source rows (n, d) are moved, given target rows (m, d); both unit spread."""
        if self.plan == "gaussian":
            return gaussian_map(source, target, RIDGE / source.shape[1])
        taken = drawn(len(source), self.examples, self.draws("source"))
        target = target[drawn(len(target), self.examples, self.draws("target"))]
        known = source[taken]
        cost = squared_distances(known, target)
        cost = cost / (np.median(cost) or 1.0)
        exact = self.plan == "exact"
        plan = exact_plan(cost) if exact else entropic_plan(cost, self.regularisation)
        moved = barycentres(plan, target)
        found = displaced(source, known, moved)
        found[taken] = moved
        return found
