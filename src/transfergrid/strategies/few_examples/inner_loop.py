"""A few steps of plain gradient descent, without changing the initial weights."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from transfergrid.records.needs import Statistics, Transferred
from transfergrid.strategies import (
    Baselines,
    Count,
    Data,
    Group,
    Inputs,
    Needs,
    Objective,
    Phase,
    Positive,
    Range,
    Sizes,
    Strategy,
    evaluating,
    rates,
)

Weights = Mapping[str, Tensor]
"""Parameters by name."""


def descended(
    loss: Callable[[Weights], Tensor],
    begun: Weights,
    lr: float,
    steps: int,
    second_order: bool = False,
) -> dict[str, Tensor]:
    """Return the weights after steps of w <- w - lr dloss/dw.

    Args:
        loss: returns the loss of weights, a scalar.
        begun: the initial weights, which are not changed.
        lr: rate of each step.
        steps: number of steps.
        second_order: whether the result is differentiable through the gradients of the steps;
            otherwise these are constants.
    """
    weights = dict(begun)
    for _ in range(steps):
        slopes = torch.autograd.grad(
            loss(weights), tuple(weights.values()), create_graph=second_order, allow_unused=True
        )
        weights = {
            name: value if slope is None else value - lr * slope
            for (name, value), slope in zip(weights.items(), slopes, strict=True)
        }
    return weights


class StartLearned(Strategy):
    """Initial weights from which a few steps on a few examples go far; subclasses say how.

    Norm layers are in eval mode throughout: BatchNorm normalises by its initial statistics, which
    nothing moves, so no query's prediction depends on the other queries of its batch.

    Args:
        inner_lr: rate of the steps on a support.
        inner_steps: number of these steps in an episode.
        target_steps: number of steps on the target's examples.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    needs = Needs(source="start", domains=1, tasks=("classification",))
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space = {
        "lr_factor": rates(0.3, small_images=1.0, images=0.3, text=0.1),
        "inner_lr": Range(0.001, 1.0, default=0.01),
    }
    transfers: ClassVar[Transferred] = "parameters"
    target_statistics: ClassVar[Statistics | None] = "unseen"  # in eval mode for support and query
    closed_to: ClassVar[Mapping[str, str]] = {
        "probe_first": "its head learns over episodes, whose classes have no order"
    }

    def __init__(
        self,
        inner_lr: Positive,
        inner_steps: Count,
        target_steps: Count,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.inner_lr, self.inner_steps, self.target_steps = inner_lr, inner_steps, target_steps

    def build(self, sizes: Sizes) -> None:
        self.shots = max(1, sizes.target // self.task.outputs)

    def episodes(self, queries: int) -> list[Phase]:
        """Return two phases: episodes of the source, then the steps on the target's examples."""
        learn = [Objective(self.loss, self.learners())]
        size = (self.task.outputs, self.shots, queries)
        told = {"reads": ["episode"], "episode": size, "judged": False, "cached": False}
        return [Phase("episodes", learn, **told), Phase("support", before=self.take)]  # type: ignore[arg-type]

    def learners(self) -> list[Group]:
        """Return the groups that learn over episodes: all weights."""
        return self.everything()

    @property
    def network(self) -> nn.Module:
        """Backbone and head as one module."""
        return nn.Sequential(self.backbone, self.head)

    def fit(self, inputs: Inputs, labels: Tensor) -> Callable[[Weights], Tensor]:
        """Return a function from weights to their loss on these examples, twice differentiable.

        It avoids torch's fast attention kernels, which have no second derivatives.
        """
        network = self.network

        def loss(weights: Weights) -> Tensor:
            with evaluating(network), sdpa_kernel(SDPBackend.MATH):
                said = functional_call(network, dict(weights), (inputs,))
            return self.task.loss(said, labels)

        return loss

    def take(self, data: Data) -> None:
        """Take the inner steps on the target's labelled examples."""
        assert data.target is not None
        begun = dict(self.network.named_parameters())
        with torch.enable_grad():
            free = {name: value.detach().requires_grad_() for name, value in begun.items()}
            loss = self.fit(data.target.inputs(), data.target.labels)
            found = descended(loss, free, self.inner_lr, self.target_steps)
        for name, value in begun.items():
            value.copy_(found[name].detach())
