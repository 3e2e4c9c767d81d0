"""Ridge regression on the frozen source, its penalty chosen by leaving one out."""

import numpy as np
import torch

from transfergrid.strategies import Baselines, Data, Needs, Phase, Positive, Range, Strategy
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

    def best(self) -> float:
        """Return the penalty of the least mean squared error of rows that are left out.

        Outputs count alike, whatever their unit; of equals it is the largest.
        """
        scales = self.targets.std(axis=0)
        scales[scales == 0] = 1.0
        errors = [np.square(self.left_out(p) / scales).mean() for p in self.penalties]
        return float(self.penalties[::-1][np.argmin(errors[::-1])])


class Ridge(Strategy):
    """Ridge regression on the frozen source; leaving one label out chooses its penalty.

    All penalties come from one decomposition, and the error of a label that is left out has a
    closed form, so the choice takes no validation part and holds with a single label a class.
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
    baselines = Baselines(exploratory=["feature_extraction"])
    space = {"penalty": Range(1e-4, 1e4, default=None)}
    transfers = "features"
    also_called = ("ridge_classifier", "ridge_probe", "least_squares")
    badges = ("formula_exact",)

    def __init__(self, penalty: Positive | None = None) -> None:
        super().__init__()
        self.penalty = penalty

    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    def solve(self, data: Data) -> None:
        """Set the head."""
        assert data.target is not None
        features = data.target.features().cpu().double().numpy()
        answers = self.task.answers(data.target.labels).cpu().double().numpy()
        path = RidgePath(features, answers)
        weights, biases = path.at(path.best() if self.penalty is None else self.penalty)
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
