"""Initial weights from which a step on a few examples lowers the loss of other examples."""

from typing import Any

from torch import Tensor

from transfergrid.strategies import Batch, Count, Phase, Positive
from transfergrid.strategies.few_examples.inner_loop import StartLearned, descended


class MAML(StartLearned):
    """Model-agnostic meta-learning: weights whose loss is small after steps on a few examples.

    The gradient goes through the inner steps; with `second_order: false` their own gradients are
    constants (FOMAML). An episode is one task, and a step of the outer loop has one episode. Norm
    layers are in eval mode: BatchNorm uses its initial statistics, never those of the queries.

    Formula:
        min over w of CE_query(w - a dCE_support/dw), a step or more

    Try it:
        With small networks, and where features alone do not suffice for the new classes.

    Cost:
        For each step, inner_steps + 1 forward and backward passes, and with the second order as
        many again; the target's examples take target_steps passes.

    Source:
        Finn et al. 2017, Model-agnostic meta-learning (arXiv 1703.03400), algorithm 2

    Args:
        inner_lr: a, the rate of the steps on a support.
        inner_steps: number of these steps in an episode.
        target_steps: number of steps on the target's examples.
        second_order: whether the gradient goes through the inner steps' own gradients.
        queries: number of query examples of each class in an episode.
        shared: `lr_factor` and `schedule`.
    """

    also_called = ("model_agnostic_meta_learning",)
    variants = {"fomaml": "strategy.second_order=false"}
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        inner_lr: Positive = 0.01,
        inner_steps: Count = 5,
        target_steps: Count = 10,
        second_order: bool = True,
        queries: Count = 15,
        **shared: Any,
    ) -> None:
        super().__init__(inner_lr, inner_steps, target_steps, **shared)
        self.second_order, self.queries = second_order, queries

    def phases(self) -> list[Phase]:
        return self.episodes(self.queries)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.episode is not None
        support, query = batch.episode
        begun = dict(self.network.named_parameters())
        fit = self.fit(support.inputs, support.labels)
        found = descended(fit, begun, self.inner_lr, self.inner_steps, self.second_order)
        return self.fit(query.inputs, query.labels)(found)
