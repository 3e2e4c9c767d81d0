"""A plain classical learner on the target labels alone."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from transfergrid.data.sparse_inputs import matrix_of
from transfergrid.records.arguments import Count, Positive
from transfergrid.records.needs import Needs
from transfergrid.records.space import Range, Space
from transfergrid.strategies.baselines.plain_features import OnPlainFeatures
from transfergrid.strategies.phases import Data


class LogisticRegression(OnPlainFeatures):
    """scikit-learn's logistic regression on plain features (pixels, or tf-idf for text).

    Args:
        c: inverse strength of the L2 penalty.
        max_iter: largest number of solver iterations.
    """

    needs: ClassVar[Needs] = Needs(source="none", steps=False, tasks=("classification",))
    space: ClassVar[Space] = {"c": Range(1e-3, 1e3, default=1.0)}

    def __init__(self, c: Positive = 1.0, max_iter: Count = 1000) -> None:
        super().__init__()
        self.c, self.max_iter = c, max_iter

    @override
    def solve(self, data: Data) -> None:
        """Fit the classes that have labels; the others are never predicted."""
        from sklearn.linear_model import LogisticRegression as Solver

        assert data.target is not None
        matrix, labels = matrix_of(data.target.inputs()), data.target.labels.cpu().numpy()
        weights, biases = np.zeros((1, matrix.shape[1])), np.zeros(1)
        known = np.unique(labels)
        if len(known) > 1:  # of one class alone nothing can be fitted
            solver = Solver(C=self.c, max_iter=self.max_iter).fit(matrix, labels)
            weights, biases = solver.coef_, solver.intercept_
        if len(known) == 2:  # scikit-learn keeps one row for two classes
            weights, biases = np.vstack([-weights, weights]) / 2, np.r_[-biases, biases] / 2
        # Logits sum to zero over the known classes, so that -30 is far below their largest.
        self.intercepts.fill_(-30.0)
        self.coefficients[known] = torch.from_numpy(weights).to(self.coefficients)
        self.intercepts[known] = torch.from_numpy(biases).to(self.intercepts)
