"""Logistic regression on the frozen source, solved to its optimum."""

import torch

from transfergrid.strategies import Baselines, Data, Needs, Phase, Positive, Range, Strategy
from transfergrid.strategies.closed_form.softmax_regression import logistic_head


def fit_head(strategy: Strategy, data: Data, c: float) -> None:
    """Set a strategy's head to the optimum on the features of its labelled target examples."""
    assert data.target is not None
    features = data.target.features().cpu().double().numpy()
    labels, outputs = data.target.labels.cpu().numpy(), strategy.task.outputs
    weights, biases = logistic_head(features, labels, outputs, c)
    strategy.task.fill(strategy.head, torch.from_numpy(weights), torch.from_numpy(biases))


class LogisticProbe(Strategy):
    """Logistic regression on the frozen source: the linear probe, solved to its one optimum.

    The steps of `feature_extraction` approach it. The bias is not penalised, and a class without
    examples is never predicted.

    Formula:
        c sum_i CE(softmax(W f(x_i) + b), y_i) + |W|^2 / 2; of two classes |w|^2 / 2 of the
        difference

    Try it:
        First of all: it shows what the source's features are worth, without a rate or steps to
        choose.

    Cost:
        About ten steps of Newton's method on the n features: milliseconds. Prediction costs what
        the source costs.

    Source:
        Kornblith et al. 2019, Do Better ImageNet Models Transfer Better? (arXiv 1805.08974),
        section 3.

    Args:
        c: inverse strength of the penalty, as scikit-learn's. For three classes or more it equals a
            weight decay of 1 / (n c) beside the mean loss.
    """

    needs = Needs(steps=False, tasks=("classification",))
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space = {"c": Range(1e-4, 1e2, default=1.0)}
    transfers = "features"
    also_called = ("linear_probe", "logistic", "linear_classifier", "linear_evaluation")
    badges = ("formula_exact", "band_reproduced")

    def __init__(self, c: Positive = 1.0) -> None:
        super().__init__()
        self.c = c

    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    def solve(self, data: Data) -> None:
        """Set the head to the optimum."""
        fit_head(self, data, self.c)
