"""The rule `dev` (deep embedded validation): target risk from reweighted source examples."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def embedded_risk(weights: Floats, losses: Floats) -> float:
    """Return the importance-weighted risk with a control variate (You et al. 2019, equation 9).

    Less is better. It may be negative, and only the largest weight limits its size.

    Args:
        weights: ratios of target to source density at held-out source examples, (n,).
        losses: losses of the same examples, (n,).
    """
    weighted = weights * losses
    spread = weights.var()
    together = ((weighted - weighted.mean()) * (weights - weights.mean())).mean()
    slope = -together / spread if spread > 0 else 0.0
    return float(weighted.mean() + slope * (weights.mean() - 1.0))


def density_ratios(source: Floats, target: Floats, held_out: Floats) -> Floats:
    """Return the ratio of target to source density (n,) at held-out source examples.

    It comes from a logistic regression (L2, C=1) that tells source from target embeddings,
    standardised over both. Held-out examples are not in its training set: else it could have
    memorised them.

    Args:
        source: embeddings of source examples that were trained on, (m, dim).
        target: embeddings of target inputs, (k, dim).
        held_out: embeddings of held-out source examples, (n, dim).
    """
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([source, target])
    mean, spread = both.mean(0), both.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    of_target = np.repeat([0, 1], [len(source), len(target)])
    fitted = LogisticRegression(max_iter=1000).fit((both - mean) / scale, of_target)
    odds = np.exp(fitted.decision_function((held_out - mean) / scale))
    return np.asarray(odds * len(source) / len(target))
