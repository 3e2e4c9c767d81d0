"""N-LEEP: LEEP with clusters of the features in place of the source's classes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval
from typing_extensions import override

from transfergrid.records.arguments import Count
from transfergrid.runs.scores.base import (
    Features,
    Floats,
    UndefinedScoreError,
    principal,
)
from transfergrid.runs.scores.leep import Unknown, leep

LEAST_EACH = 2
"""Least examples per Gaussian: with one each, a cluster is one example and all sources score 0."""


@dataclass(frozen=True)
class Nleep(Unknown):
    """LEEP over the responsibilities of a Gaussian mixture on principal components.

    Li et al. 2021, "Ranking neural checkpoints". In [-H(Y), 0]. The mixture is fitted with a
    fixed seed.

    Attributes:
        gaussians_per_class: number of Gaussians for each class of the target.
        variance: share of the variance that the principal components keep.
        covariance: kind of covariance; "full" has d(d+1)/2 parameters, too many for few labels.
    """

    paper = "Li et al. 2021, Ranking neural checkpoints"

    gaussians_per_class: Count = 5
    variance: Annotated[float, Interval(gt=0, lt=1)] = 0.8
    covariance: Literal["diag", "full", "spherical", "tied"] = "diag"

    @override
    def compute(self, features: Features) -> float:
        gaussians, n = self.gaussians_per_class * features.classes, len(features.target)
        if n < LEAST_EACH * gaussians:
            raise UndefinedScoreError(
                f"{n} examples are too few for {gaussians} Gaussians; it takes "
                f"{LEAST_EACH * gaussians}"
            )
        reduced = principal(features.target, self.variance)
        return leep(self._responsibilities(reduced, gaussians), features.onehot)

    def _responsibilities(self, reduced: Floats, gaussians: int) -> Floats:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        scale = float(reduced.std())  # the mixture's own ridge is in units of the features
        mixture = GaussianMixture(gaussians, covariance_type=self.covariance, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found: Floats = mixture.fit(reduced / scale).predict_proba(reduced / scale)
        return found
