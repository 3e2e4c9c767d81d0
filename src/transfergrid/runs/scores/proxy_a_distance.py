"""Proxy A-distance: how well a classifier tells the two domains apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from typing_extensions import override

from transfergrid.records.arguments import Positive
from transfergrid.runs.scores.base import Features, Floats, Score, UndefinedScoreError

LEAST = 10


@dataclass(frozen=True)
class ProxyADistance(Score):
    """2 (1 - 2e), at least 0, e the cross-validated error of a linear domain classifier.

    Ben-David et al. 2007. Both domains have equally many examples; features are standardised
    within each fold. In [0, 2], and lower is better: 0 if the source cannot tell the domains apart.
    It ignores labels, so a source may be near and useless.

    Attributes:
        folds: number of folds of the cross-validation.
        regularisation: scikit-learn's C of the logistic regression; lower is stronger.
    """

    paper = "Ben-David et al. 2007, proxy A-distance"
    needs = ("source",)
    higher_is_better = False

    folds: Annotated[int, Ge(2)] = 5
    regularisation: Positive = 0.01

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        return 0.0, 2.0

    @override
    def compute(self, features: Features) -> float:
        assert features.source is not None
        each = min(len(features.target), len(features.source))
        least = max(LEAST, self.folds)
        if each < least:
            raise UndefinedScoreError(f"{each} examples of a domain are too few; it takes {least}")
        return distance(self._error(_some(features.target, each), _some(features.source, each)))

    def _error(self, target: Floats, source: Floats) -> float:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        both = np.concatenate([target, source])
        domain = np.repeat([0, 1], len(target))
        learner = LogisticRegression(C=self.regularisation, max_iter=1000)
        split = StratifiedKFold(self.folds, shuffle=True, random_state=0)
        said = cross_val_predict(make_pipeline(StandardScaler(), learner), both, domain, cv=split)
        return float((said != domain).mean())


def distance(error: float) -> float:
    """Return 2 (1 - 2e), or 0 where the classifier errs more often than chance."""
    return max(0.0, 2.0 * (1.0 - 2.0 * error))


def _some(features: Floats, n: int) -> Floats:
    """Return n rows, drawn with a fixed seed."""
    return features[np.sort(np.random.default_rng(0).permutation(len(features))[:n])]
