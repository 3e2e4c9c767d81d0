"""A linear support vector machine on the frozen source."""

import torch

from transfergrid.strategies import Baselines, Data, Needs, Phase, Positive, Range, Strategy
from transfergrid.strategies.closed_form.squared_hinge import one_against_rest


class SVM(Strategy):
    """A linear support vector machine on the frozen source, one class against the rest.

    The hinge is squared, and the bias is not penalised, though scikit-learn's LinearSVC penalises
    it. Features are centred and divided by one number, the root mean squared distance from their
    mean, so that a C means the same for every source. Outputs are margins, not log-probabilities:
    accuracy and ranking metrics are valid, `loss` and `ece` are not.

    Formula:
        for each class |w|^2 / 2 + C sum_i max(0, 1 - y_i (w x_i + b))^2, y_i of -1 and 1

    Try it:
        Where classes are far apart and few examples lie between them: those alone decide. Otherwise
        it is close to `logistic_probe`, which also gives probabilities.

    Cost:
        About ten steps of Newton's method on the n features: milliseconds. Prediction costs what
        the source costs.

    Source:
        Cortes & Vapnik 1995, Support-Vector Networks (Machine Learning 20); squared hinge, solved
        in the primal: Keerthi & DeCoste 2005 (JMLR 6), equation 1.

    Args:
        c: C, the weight of the sum of losses.
    """

    needs = Needs(steps=False, tasks=("classification",))
    baselines = Baselines(exploratory=["logistic_probe", "full_finetuning"])
    space = {"c": Range(1e-3, 1e3, default=1.0)}
    transfers = "features"
    also_called = ("support_vector_machine", "linear_svm", "linear_svc", "svc")
    badges = ("formula_exact",)

    def __init__(self, c: Positive = 1.0) -> None:
        super().__init__()
        self.c = c

    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    def solve(self, data: Data) -> None:
        """Set the head to the optimum."""
        assert data.target is not None
        features = data.target.features().cpu().double().numpy()
        labels = data.target.labels.cpu().numpy()
        weights, biases = one_against_rest(features, labels, self.task.outputs, self.c)
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
