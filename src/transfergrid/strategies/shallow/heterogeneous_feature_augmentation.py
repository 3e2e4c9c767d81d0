"""Feature augmentation with learned maps of two kinds of features to a shared space (HFA)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from transfergrid.strategies import Baselines, Needs, NotNegative, Positive, Range
from transfergrid.strategies.closed_form.softmax_regression import Floats, logistic_head
from transfergrid.strategies.shallow.frozen import C, Frozen, OnFrozenFeatures, spread

Labels = NDArray[np.int64]

SEARCHED = {"maxiter": 5000, "maxfun": 10_000, "maxcor": 30, "ftol": 1e-14, "gtol": 1e-8}
NOTHING = 1e-150
"""Lower bound on sums of singular values, for weights that are all 0."""


class Shared(NamedTuple):
    """The matrix H = [P, Q]'[P, Q], as eigenvectors and eigenvalues.

    Attributes:
        axes: eigenvectors, (d_s + d_t, k), orthonormal.
        sizes: eigenvalues, (k,), above 0.
    """

    axes: Floats
    sizes: Floats

    def spent(self, rows: Floats) -> Floats:
        """Return rows times (I + H)^1/2; inner products are then those of augmented features."""
        return np.asarray(rows + (rows @ self.axes) * (np.sqrt(1 + self.sizes) - 1) @ self.axes.T)

    def shrunk(self, rows: Floats) -> Floats:
        """Return rows times (I + H)^-1."""
        part = self.sizes / (1 + self.sizes)
        return np.asarray(rows - (rows @ self.axes) * part @ self.axes.T)


def best_shared(weights: Floats, trace: float) -> Shared:
    """Return the H with at most this trace that minimises sum_k u_k'(I + H)^-1 u_k.

    Its eigenvectors are the right singular vectors of the weights, its eigenvalues
    max(0, s_i r - 1) for singular values s_i, with r such that they sum to the trace. So the trace
    goes to the largest singular values first, and among those that get some, the marginal gain is
    equal.

    Args:
        weights: u, (outputs, d).
        trace: upper bound of the trace.
    """
    _, values, axes = np.linalg.svd(weights, full_matrices=False)
    active = np.arange(1, len(values) + 1)
    rates = (trace + active) / np.maximum(np.cumsum(values), NOTHING)
    some = int((values * rates > 1).sum())
    sizes = np.maximum(values[:some] * rates[some - 1] - 1, 0.0) if some else values[:0]
    return Shared(axes[:some].T, sizes)


class Joint(NamedTuple):
    """A linear head for each domain, with shared biases.

    Attributes:
        source: weights on the source's features, (classes, d_s).
        target: weights on the target's features, (classes, d_t).
        biases: biases of both heads, (classes,).
    """

    source: Floats
    target: Floats
    biases: Floats


def side_by_side(source: Floats, target: Floats) -> Floats:
    """Return rows (x, 0) for the source (n, d_s) and (0, x) for the target (k, d_t)."""
    (n, wide), (k, other) = source.shape, target.shape
    return np.block([[source, np.zeros((n, other))], [np.zeros((k, wide)), target]])


def head_under(
    shared: Shared, source: Floats, target: Floats, labels: Labels, classes: int, c: float
) -> Joint:
    """Return the heads of a logistic regression on features augmented by the maps of H.

    Args:
        shared: H.
        source: features, (n, d_s).
        target: features, (k, d_t).
        labels: (n + k,), the source's first.
        classes: number of classes.
        c: inverse strength of the penalty.
    """
    rows, wide = shared.spent(side_by_side(source, target)), source.shape[1]
    found, biases = logistic_head(rows, labels, classes, c)
    weights = shared.spent(found)
    return Joint(weights[:, :wide], weights[:, wide:], biases)


def learned(source: Floats, target: Floats, labels: Labels, c: float, trace: float) -> Shared:
    """Return the H with at most this trace that minimises a head's objective.

    The objective c sum CE + sum_k u_k'(I + H)^-1 u_k / 2 is jointly convex in weights u and H. The
    best H for given weights is known in closed form, so L-BFGS minimises a smooth function of the
    weights alone.

    Args:
        source: features, (n, d_s).
        target: features, (k, d_t), of any width.
        labels: (n + k,), the source's first.
        c: inverse strength of the penalty.
        trace: upper bound of |P|^2 + |Q|^2.
    """
    rows, classes = side_by_side(source, target), len(np.unique(labels))
    answers = np.eye(classes)[np.unique(labels, return_inverse=True)[1]]
    twice = 2.0 if classes == 2 else 1.0  # with two classes the weights' difference is penalised
    shape = classes, rows.shape[1] + 1

    def objective(flat: Floats) -> tuple[float, Floats]:
        weights, biases = flat.reshape(shape)[:, :-1], flat.reshape(shape)[:, -1]
        logs = log_softmax(rows @ weights.T + biases, axis=1)
        off, known = np.exp(logs) - answers, best_shared(weights, trace)
        shrunk = twice * known.shrunk(weights)
        value = -c * (answers * logs).sum() + (weights * shrunk).sum() / 2
        slope = np.hstack([c * off.T @ rows + shrunk, c * off.sum(axis=0)[:, None]])
        return float(value), slope.ravel()

    start = np.zeros(shape).ravel()
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=SEARCHED).x
    return best_shared(found.reshape(shape)[:, :-1], trace)


class HeterogeneousFeatureAugmentation(OnFrozenFeatures):
    """Feature augmentation where what is shared is a learned map of each domain's features.

    With P = Q = I it is `easy_adapt`. The maps are learned together with the head, under a bound on
    their squared norms. Only H = [P, Q]'[P, Q] matters: the problem is convex in H, and the rank of
    H is the width of the shared space. Declared: logistic regression replaces the hinge loss; one H
    serves all classes. The latter matters: for a single two-class problem the best H has rank one
    and lies along that problem's weights; the two domains then share only the bias, and nothing
    else is transferred, however large the bound. With more classes the similarity between classes
    is transferred. Each domain is centred at the mean of its labelled examples and divided by its
    own spread, because features of two kinds have no common unit. Here both domains pass through
    one network; the method does not require that. The record tells the rank and trace of H.

    Formula:
        phi_s(x) = (P x, x, 0), phi_t(x) = (Q x, 0, x); min over W, P, Q of c sum CE(softmax(W phi +
        b), y) + |W|^2 / 2, |P|^2 + |Q|^2 <= trace
    Try it:
        with labels in both domains and several classes; where features of both domains are of one
        kind, try `easy_adapt` first
    Cost:
        a convex problem in both domains' features, in some hundred cheap steps: seconds; a
        prediction costs what the source's costs
    Source:
        Duan, Xu & Tsang 2012, Learning with Augmented Features for Heterogeneous Domain Adaptation,
        ICML, arXiv 1206.4660, equations 1 and 6

    Args:
        trace: upper bound of |P|^2 + |Q|^2.
        c: C of the head.
    """

    needs = Needs("weights", "required", 1, "same", steps=False, tasks=("classification",))
    baselines = Baselines("source_and_target", None, ["source_probe", "logistic_probe"])
    space = {"c": C, "trace": Range(1.0, 1000.0, default=100.0)}
    setting = "inductive"
    also_called = ("hfa",)
    badges = ("formula_exact",)
    finds = ("rank", "trace")

    def __init__(self, trace: NotNegative = 100.0, c: Positive = 1.0) -> None:
        super().__init__(c)
        self.trace = trace

    def adapt(self, seen: Frozen) -> None:
        domains = seen.source, seen.labelled
        means, units = ([of(rows) for rows in domains] for of in (_mean, spread))
        source, target = (
            (rows - mean) / unit for rows, mean, unit in zip(domains, means, units, strict=True)
        )
        labels = seen.pooled_labels
        shared = learned(source, target, labels, self.c, self.trace)
        found = head_under(shared, source, target, labels, self.task.outputs, self.c)
        self.note(rank=len(shared.sizes), trace=float(shared.sizes.sum()))
        weights = found.target / units[1]
        self.put(weights, found.biases - weights @ means[1])


def _mean(rows: Floats) -> Floats:
    return np.asarray(rows.mean(axis=0))
