"""Logistic regression on the frozen source, solved to its optimum."""

import torch

from transfergrid.strategies import Baselines, Data, Needs, Phase, Positive, Range, Strategy
from transfergrid.strategies.closed_form.softmax_regression import logistic_head


class LogisticProbe(Strategy):
    """Logistic regression on the frozen source: the linear probe, solved to its one optimum.

    Its head has the least cross-entropy with an L2 penalty on the weights and none on the bias
    (Kornblith et al. 2019, section 3); the steps of `feature_extraction` are on the way there.

    Args:
        c: inverse strength of the penalty: c times the sum of losses plus |w|^2 / 2 is least. Of
            three classes or more it is a weight decay of 1 / (n c) of the mean loss.
    """

    needs = Needs(steps=False, tasks=("classification",))
    baselines = Baselines(exploratory=["feature_extraction"])
    space = {"c": Range(1e-4, 1e2, default=1.0)}
    transfers = "features"

    def __init__(self, c: Positive = 1.0) -> None:
        super().__init__()
        self.c = c

    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    def solve(self, data: Data) -> None:
        """Set the head."""
        assert data.target is not None
        features = data.target.features().cpu().double().numpy()
        labels = data.target.labels.cpu().numpy()
        weights, biases = logistic_head(features, labels, self.task.outputs, self.c)
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
