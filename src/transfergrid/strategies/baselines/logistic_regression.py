"""A plain classical learner on the target labels alone."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.batches import CellData
from transfergrid.data.inputs import Inputs
from transfergrid.data.sparse_inputs import linear, matrix_of
from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import ParamGroup, Strategy


class LogisticRegression(Strategy):
    """scikit-learn's logistic regression on plain features (pixels, or tf-idf for text).

    Args:
        c: inverse strength of the L2 penalty.
        max_iter: largest number of solver iterations.
    """

    needs: ClassVar[Needs] = Needs(source="none", training=False)
    baselines: ClassVar[Baselines] = Baselines(labelled=None)
    coefficients: Tensor
    intercepts: Tensor

    def __init__(self, c: float = 1.0, max_iter: int = 1000) -> None:
        super().__init__()
        self.c, self.max_iter = c, max_iter

    @override
    def prepare(self, data: CellData) -> None:
        from sklearn.linear_model import LogisticRegression as Solver

        assert data.train is not None
        inputs, labels = data.train.inputs(data.train.rows), data.train.labels
        matrix = matrix_of(inputs)
        weights, biases = np.zeros((1, matrix.shape[1])), np.zeros(1)
        known = np.unique(labels)
        if len(known) > 1:  # of one class alone nothing can be fitted
            solver = Solver(C=self.c, max_iter=self.max_iter).fit(matrix, labels)
            weights, biases = solver.coef_, solver.intercept_
        if len(known) == 2:  # scikit-learn keeps one row for two classes
            weights, biases = np.vstack([-weights, weights]) / 2, np.r_[-biases, biases] / 2
        full = np.zeros((len(data.classes), weights.shape[1]), dtype=np.float32)
        # Logits sum to zero over the known classes, so that -30 is far below their largest.
        offset = np.full(len(data.classes), -30.0, dtype=np.float32)
        full[known], offset[known] = weights, biases
        self.register_buffer("coefficients", torch.from_numpy(full))
        self.register_buffer("intercepts", torch.from_numpy(offset))

    @override
    def trainable(self) -> list[ParamGroup]:
        return []

    @override
    def predict(self, inputs: Inputs) -> Tensor:
        return linear(inputs, self.coefficients) + self.intercepts
