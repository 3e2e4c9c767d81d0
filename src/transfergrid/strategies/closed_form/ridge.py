"""Ridge regression on the frozen source, its penalty chosen by leaving one out."""

from typing import Any

import numpy as np
import torch

from transfergrid.strategies import Baselines, Data, Needs, Phase, Positive, Sizes, Strategy
from transfergrid.strategies.closed_form.softmax_regression import Floats, Rows

PATH = 10.0 ** np.linspace(-8, 2, 41)
"""Penalties that are looked at, as parts of the largest squared singular value."""


class RidgePath:
    """Ridge regressions on the same rows, of any penalty, from one decomposition.

    Least is |X w + b - y|^2 + penalty |w|^2, a sum over rows; the intercept b is free.

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
        """`PATH` in the unit of these rows, so that one of features makes no difference."""
        return PATH * (self.squares.max(initial=0.0) or 1.0)

    def at(self, penalty: float) -> tuple[Floats, Floats]:
        """Return weights (outputs, d) and intercepts (outputs,)."""
        inner = np.vstack([self.along / (self.squares + penalty)[:, None], self.centre])
        weights, biases = self.rows.weights(inner[:, None])
        return weights[0], biases[0]

    def left_out(self, penalty: float) -> Floats:
        """Return each row's error under a fit to all other rows, (n, outputs): e / (1 - h)."""
        shrunk = self.sides / (self.squares + penalty)
        errors = self.targets - self.centre - shrunk @ self.along
        own = 1 / len(self.sides) + np.einsum("nr,nr->n", shrunk, self.sides)
        return np.asarray(errors / np.maximum(1 - own, np.finfo(np.float64).eps)[:, None])

    def errors(self) -> Floats:
        """Return the mean squared error of rows that are left out, for each penalty of the path.

        Outputs count alike, whatever their unit.
        """
        scales = self.targets.std(axis=0)
        scales[scales == 0] = 1.0
        return np.array([np.square(self.left_out(p) / scales).mean() for p in self.penalties])

    def best(self) -> float:
        """Return the penalty of the least of these errors, of equals the largest."""
        return float(self.penalties[::-1][np.argmin(self.errors()[::-1])])


class Ridge(Strategy):
    """Ridge regression on the frozen source; leaving one label out chooses its penalty.

    All penalties come from one decomposition, and the error of a label that is left out has a
    closed form, so the choice takes no validation part, and no trial of a search: with ten labels a
    class and more it is the same choice as below. The record tells the whole path (`told`).
    Classes are 1 for the own and 0 for all others; -1 and 1 would choose and predict the same.
    Its outputs are no log-probabilities: accuracy and ranking mean what they say, `loss` and `ece`
    do not.

    Formula:
        |X w + b - y|^2 + penalty |w|^2, b free; error of label i left out: e_i / (1 - h_ii)

    Try it:
        Where features are many and labels few, and for numbers. It has no rate and no steps to
        choose, so it is a fair first look at any source.

    Cost:
        One singular value decomposition of the n features: milliseconds. A prediction costs what
        the source's costs.

    Source:
        Hoerl & Kennard 1970, Ridge Regression (Technometrics 12); leave-one-out: Golub, Heath &
        Wahba 1979 (Technometrics 21), equation 1.3.

    Args:
        penalty: of the sum over rows, not of their mean; null: the one of 41 that leaving one out
            finds best.
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
        """Set the head."""
        assert data.target is not None
        features = data.target.features().cpu().double().numpy()
        answers = self.task.answers(data.target.labels).cpu().double().numpy()
        path = RidgePath(features, answers)
        if self.penalty is None:
            told = torch.from_numpy(np.stack([path.penalties, path.errors()]))
            self.scaffold.get_buffer("path").copy_(told)
        weights, biases = path.at(path.best() if self.penalty is None else self.penalty)
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
