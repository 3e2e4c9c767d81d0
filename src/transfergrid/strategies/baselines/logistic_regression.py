"""Logistic regression on plain features, fitted to the target's labels alone."""

from __future__ import annotations

from typing import ClassVar

import torch
from typing_extensions import override

from transfergrid.data.sparse_inputs import matrix_of
from transfergrid.records.arguments import Count, Positive
from transfergrid.records.needs import Needs
from transfergrid.records.space import Range, Space
from transfergrid.strategies.baselines.plain_features import OnPlainFeatures
from transfergrid.strategies.closed_form.softmax_regression import logistic_head
from transfergrid.strategies.phases import Data


class LogisticRegression(OnPlainFeatures):
    """Logistic regression, scikit-learn's problem, on plain features (pixels, or tf-idf for text).

    Formula:
        min_w  c sum CE(w x) + |w|^2 / 2, of plain features x
    Try it:
        as a reference: a network that does not beat it gains nothing from its depth
    Cost:
        milliseconds to seconds on pixels or tf-idf; no network
    Source:
        scikit-learn's `LogisticRegression`: the optimum is the same

    Args:
        c: inverse strength of the L2 penalty.
        max_iter: maximum number of solver iterations.
    """

    needs: ClassVar[Needs] = Needs(source="none", steps=False, tasks=("classification",))
    space: ClassVar[Space] = {"c": Range(1e-3, 1e3, default=1.0)}
    badges = ("formula_exact",)

    def __init__(self, c: Positive = 1.0, max_iter: Count = 1000) -> None:
        super().__init__()
        self.c, self.max_iter = c, max_iter

    @override
    def solve(self, data: Data) -> None:
        """Fit the classes that have labels; classes without labels are never predicted."""
        assert data.target is not None
        matrix, labels = matrix_of(data.target.inputs()), data.target.labels.cpu().numpy()
        weights, biases = logistic_head(matrix, labels, self.task.outputs, self.c, self.max_iter)
        self.coefficients[:, : matrix.shape[1]] = torch.from_numpy(weights)
        self.intercepts.copy_(torch.from_numpy(biases))
