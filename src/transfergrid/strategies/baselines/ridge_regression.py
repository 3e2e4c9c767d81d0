"""Ridge regression on plain features, fitted to the target's numeric labels alone."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from transfergrid.data.sparse_inputs import matrix_of
from transfergrid.records.arguments import Positive
from transfergrid.records.needs import Needs
from transfergrid.records.space import Range, Space
from transfergrid.strategies.baselines.plain_features import OnPlainFeatures
from transfergrid.strategies.phases import Data


class RidgeRegression(OnPlainFeatures):
    """scikit-learn's ridge regression on plain features (pixels, or tf-idf for text).

    Formula:
        min_w  |X w - y|^2 + alpha |w|^2, the intercept free, of plain features x
    Try it:
        as a reference where labels are numbers
    Cost:
        milliseconds to seconds on pixels or tf-idf; no network
    Source:
        Hoerl & Kennard 1970, Ridge regression, Technometrics 12; solved by scikit-learn's `Ridge`

    Args:
        alpha: strength of the L2 penalty.
    """

    needs: ClassVar[Needs] = Needs(source="none", steps=False, tasks=("regression",))
    space: ClassVar[Space] = {"alpha": Range(1e-3, 1e3, default=1.0)}
    badges = ("formula_exact",)

    def __init__(self, alpha: Positive = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    @override
    def solve(self, data: Data) -> None:
        """Fit all outputs side by side; the intercept is not penalised."""
        from sklearn.linear_model import Ridge

        assert data.target is not None
        matrix = matrix_of(data.target.inputs())
        labels = data.target.labels.cpu().numpy().reshape(matrix.shape[0], -1).astype(np.float64)
        solver = Ridge(alpha=self.alpha).fit(matrix, labels)
        self.coefficients[:, : matrix.shape[1]] = torch.from_numpy(np.atleast_2d(solver.coef_))
        self.intercepts.copy_(torch.from_numpy(np.atleast_1d(solver.intercept_)))
