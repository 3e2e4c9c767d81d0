"""Ridge regression on the frozen source, its penalty chosen by leaving one out."""

from typing import Any

import numpy as np
import torch

from transfergrid.strategies import Baselines, Data, Needs, Phase, Positive, Sizes, Strategy
from transfergrid.strategies.closed_form.softmax_regression import Floats, Rows

PATH = 10.0 ** np.linspace(-8, 2, 41)
"""Penalties to choose from, relative to the largest squared singular value."""


class RidgePath:
    """Ridge regressions on the same rows with any penalty, from one decomposition.

    They minimise |X w + b - y|^2 + penalty |w|^2, a sum over rows; the intercept b is free.

    Args:
        features: X, (n, d).
        targets: y, (n, outputs).
    """

    def __init__(self, features: Floats, targets: Floats) -> None:
        self.rows, self.targets = Rows.of(features), targets
        self.centre = targets.mean(axis=0)
        self.sides = self.rows.turned[:, :-1]
        self.squares: Floats = np.square(self.sides).sum(axis=0)
        """(r,) squared singular values of the centred rows."""
        self.along = self.sides.T @ (targets - self.centre)

    @property
    def penalties(self) -> Floats:
        """The penalties of `PATH`, scaled so that the unit of features makes no difference."""
        return PATH * (self.squares.max(initial=0.0) or 1.0)

    def at(self, penalty: float) -> tuple[Floats, Floats]:
        """Return the weights (outputs, d) and intercepts (outputs,) at a penalty."""
        inner = np.vstack([self.along / (self.squares + penalty)[:, None], self.centre])
        weights, biases = self.rows.weights(inner[:, None])
        return weights[0], biases[0]

    def left_out(self, penalty: float) -> Floats:
        """Return the leave-one-out error of each row, e / (1 - h), (n, outputs)."""
        shrunk = self.sides / (self.squares + penalty)
        errors = self.targets - self.centre - shrunk @ self.along
        own = 1 / len(self.sides) + np.einsum("nr,nr->n", shrunk, self.sides)
        return np.asarray(errors / np.maximum(1 - own, np.finfo(np.float64).eps)[:, None])

    def errors(self) -> Floats:
        """Return the mean squared leave-one-out error for each penalty of the path.

        Each output is scaled by its standard deviation, so all count alike.
        """
        scales = self.targets.std(axis=0)
        scales[scales == 0] = 1.0
        return np.array([np.square(self.left_out(p) / scales).mean() for p in self.penalties])

    def best(self) -> float:
        """Return the penalty with the least leave-one-out error, of ties the largest."""
        return float(self.penalties[::-1][np.argmin(self.errors()[::-1])])


class Ridge(Strategy):
    """Ridge regression on the frozen source; leaving one label out chooses its penalty.

    All penalties share one decomposition, and the leave-one-out error has a closed form, so the
    choice needs no validation part and no search trial, however many labels there are. The record
    tells the whole path (`told`). Targets of classification are 1 for an example's class and 0 for
    all others; -1 and 1 would choose and predict the same. Outputs are not log-probabilities:
    accuracy and ranking metrics are valid, `loss` and `ece` are not.

    Formula:
        |X w + b - y|^2 + penalty |w|^2, b free; error of label i left out: e_i / (1 - h_ii)

    Try it:
        Where there are many features and few labels, and for numbers. It has no rate and no steps
        to choose, so it is a fair first test of any source.

    Cost:
        One singular value decomposition of the n features: milliseconds. Prediction costs what the
        source costs.

    Source:
        Hoerl & Kennard 1970, Ridge Regression (Technometrics 12); leave-one-out: Golub, Heath &
        Wahba 1979 (Technometrics 21), equation 1.3.

    Args:
        penalty: weight of |w|^2 beside the sum (not the mean) over rows; null: the one of 41 with
            the least leave-one-out error.
    """

    needs = Needs(steps=False)
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    transfers = "features"
    also_called = ("ridge_classifier", "ridge_probe", "least_squares")
    badges = ("formula_exact",)

    def __init__(self, penalty: Positive | None = None) -> None:
        super().__init__()
        self.penalty = penalty

    def build(self, sizes: Sizes) -> None:
        self.scaffold.register_buffer("path", torch.zeros(2, len(PATH), dtype=torch.float64))

    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    def tells(self) -> dict[str, Any]:
        if self.penalty is not None:
            return {}
        penalties, errors = self.scaffold.get_buffer("path").tolist()
        best = penalties[max(i for i, error in enumerate(errors) if error == min(errors))]
        path = {"penalty": penalties, "left_out_error": errors}
        return {"penalty": best, "chosen_by_leaving_one_out": True, "path": path}

    def solve(self, data: Data) -> None:
        """Set the head to the fit."""
        assert data.target is not None
        features = data.target.features().cpu().double().numpy()
        answers = self.task.answers(data.target.labels).cpu().double().numpy()
        path = RidgePath(features, answers)
        if self.penalty is None:
            told = torch.from_numpy(np.stack([path.penalties, path.errors()]))
            self.scaffold.get_buffer("path").copy_(told)
        weights, biases = path.at(path.best() if self.penalty is None else self.penalty)
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
