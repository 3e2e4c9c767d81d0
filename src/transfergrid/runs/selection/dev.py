"""The risk on the target, by source examples that look like it: deep embedded validation."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def embedded_risk(weights: Floats, losses: Floats) -> float:
    """Return the weighted risk with its control variate (You et al. 2019, equation 9).

    Less is better. It may be negative, and is as large as the largest weight allows.

    Args:
        weights: of held-out source examples, (n,): the ratio of target to source density there.
        losses: of the same examples, (n,).
    """
    weighted = weights * losses
    spread = weights.var()
    together = ((weighted - weighted.mean()) * (weights - weights.mean())).mean()
    slope = -together / spread if spread > 0 else 0.0
    return float(weighted.mean() + slope * (weights.mean() - 1.0))


def density_ratios(source: Floats, target: Floats, held_out: Floats) -> Floats:
    """Return the ratio of target to source density (n,) at held-out source examples.

    By a logistic regression, L2 with C=1, that tells source from target embeddings, each of mean 0
    and variance 1 over both. What was held out is in neither: else its weights would be those of
    what the regression has learned by heart.

    Args:
        source: embeddings of source examples that were trained on, (m, dim).
        target: of target inputs, (k, dim).
        held_out: (n, dim).
    """
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([source, target])
    mean, spread = both.mean(0), both.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    of_target = np.repeat([0, 1], [len(source), len(target)])
    fitted = LogisticRegression(max_iter=1000).fit((both - mean) / scale, of_target)
    odds = np.exp(fitted.decision_function((held_out - mean) / scale))
    return np.asarray(odds * len(source) / len(target))
