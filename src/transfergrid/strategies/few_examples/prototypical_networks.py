"""Features trained over episodes so that the nearest class mean is the right class."""

from torch import Tensor

from transfergrid.strategies import Batch, Data
from transfergrid.strategies.closed_form.prototypes import nearest_mean
from transfergrid.strategies.few_examples.over_episodes import MetaLearned


class PrototypicalNetworks(MetaLearned):
    """Prototypical networks: an episode's queries are told by the nearest mean of its support.

    The target's examples then determine the means of its classes. Distances are squared, and all
    classes have the same prior. Without steps on the source it is `prototypes`.

    Formula:
        p(y = k | x) = softmax_k of -|f(x) - c_k|^2, c_k the mean of class k in the support

    Try it:
        With one to five examples a class, for classes that no source has, and a source with many
        other classes.

    Cost:
        A forward and backward pass of ways x (shots + queries) source examples for each step, and
        no step on the target.

    Source:
        Snell et al. 2017, Prototypical networks for few-shot learning (arXiv 1703.05175), section 2

    Args:
        ways: number of classes in an episode; null: as many as the target has. The paper trains
            with more ways than it tests with.
        queries: number of query examples of each class in an episode.
        shared: `lr_factor` and `schedule`.
    """

    also_called = ("prototypical", "protonets", "prototypical_nets")
    badges = ("formula_exact", "trajectory_exact")

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.episode is not None
        support, query = batch.episode
        features = self.features(support.inputs)
        classes = int(support.labels.max()) + 1
        weight, bias = nearest_mean(features, support.labels, classes)
        said = self.features(query.inputs) @ weight.T + bias
        return self.task.loss(said, query.labels)

    def take(self, data: Data) -> None:
        assert data.target is not None
        found = nearest_mean(data.target.features(), data.target.labels, self.task.outputs)
        self.task.fill(self.head, *found)
