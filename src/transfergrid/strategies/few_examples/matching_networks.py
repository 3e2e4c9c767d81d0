"""Attention over the support, by cosines of features that were trained for this."""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from transfergrid.strategies import Batch, Inputs
from transfergrid.strategies.few_examples.memory import Remembering
from transfergrid.strategies.few_examples.over_episodes import MetaLearned

LEAST = 1e-12
"""The smallest probability, that of a class without examples."""


def attended(support: Tensor, labels: Tensor, query: Tensor, classes: int) -> Tensor:
    """Return log probabilities of classes, (batch, classes).

    Args:
        support: features of the support, (n, dim).
        labels: labels of the support, (n,) int64.
        query: features of the queries, (batch, dim).
        classes: number of classes.
    """
    attention = (normalize(query, dim=1) @ normalize(support, dim=1).T).softmax(dim=1)
    return (attention @ one_hot(labels, classes).to(attention)).clamp_min(LEAST).log()


class MatchingNetworks(Remembering):
    """Matching networks: each example of the support votes by its cosine with the query.

    The paper's full-context embeddings are left out. The probability of a class is the sum over its
    examples, so a class with more examples gets more. The loss is minus its logarithm.

    Formula:
        p(y = k | x) = sum over the support i of class k of softmax_i of cos(f(x), f(x_i))

    Try it:
        As `prototypical_networks`, where classes consist of several clusters.

    Cost:
        As `prototypical_networks`; the model contains the features of the support.

    Source:
        Vinyals et al. 2016, Matching networks for one shot learning (arXiv 1606.04080), section 2.1

    Args:
        ways: number of classes in an episode; null: as many as the target has.
        queries: number of query examples of each class in an episode.
        shared: `lr_factor` and `schedule`.
    """

    also_called = ("matching", "matching_nets")
    badges = ("formula_exact", "trajectory_exact")
    closed_to = {**MetaLearned.closed_to, "label_smoothing": "its loss is of probabilities alone"}

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.episode is not None
        support, query = batch.episode
        kept, asked = self.features(support.inputs), self.features(query.inputs)
        said = attended(kept, support.labels, asked, int(support.labels.max()) + 1)
        return torch.nn.functional.nll_loss(said, query.labels)

    def predict(self, inputs: Inputs) -> Tensor:
        return attended(self.kept, self.labels, self.features(inputs), self.task.outputs)
