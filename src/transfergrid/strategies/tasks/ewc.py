"""Fine-tune with a pull towards the source that is as strong as the source's task needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from transfergrid.strategies import (
    Baselines,
    Batch,
    Count,
    Data,
    Inputs,
    Needs,
    NotNegative,
    Phase,
    Range,
    Sizes,
    Strategy,
    rates,
    take,
)
from transfergrid.strategies.held_near.co_tuning import check_classes
from transfergrid.strategies.phases import View
from transfergrid.strategies.tasks.on_one_trunk import flat

Labels = Literal["model", "data"]


def squared_slopes(
    logits: Tensor, parameters: Sequence[Tensor], label: int | None = None
) -> list[Tensor]:
    """Return the squared gradient of one example's log-likelihood, parameter by parameter.

    Args:
        logits: of the example, (classes,).
        parameters: that the gradient is of.
        label: its class; None: the mean over all classes, each as likely as the model says it is.
    """
    said = logits.log_softmax(0)
    classes = range(len(said)) if label is None else (label,)
    found = [torch.zeros_like(parameter) for parameter in parameters]
    for place in classes:
        share = 1.0 if label is not None else float(said[place].detach().exp())
        slopes = torch.autograd.grad(
            said[place], tuple(parameters), retain_graph=True, allow_unused=True
        )
        for sum_, slope in zip(found, slopes, strict=True):
            if slope is not None:
                sum_ += share * slope.square()
    return found


def pull(fisher: Tensor, way: Tensor) -> Tensor:
    """Return half the squared way (n,), each direction weighed by the Fisher information (n,)."""
    return 0.5 * (fisher * way.square()).sum()


@contextmanager
def learning(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let gradients be taken of parameters that stand still, where none would be."""
    before = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for parameter, was in zip(parameters, before, strict=True):
            parameter.requires_grad_(was)


def fisher(
    says: Callable[[Inputs], Tensor],
    parameters: Sequence[nn.Parameter],
    view: View,
    examples: int,
    *,
    by_model: bool = True,
) -> Tensor:
    """Return the diagonal of the Fisher information, (n,), in the order of the parameters.

    Args:
        says: gives logits, (batch, classes); in eval mode.
        parameters: that it is of.
        view: the examples, of which the first of an order drawn by the seed block are taken.
        examples: how many, at most.
        by_model: whether classes are weighed as the model says them; otherwise they are given.
    """
    total, seen = torch.zeros(sum(p.numel() for p in parameters)), 0
    total = total.to(parameters[0])
    for batch in view.batches():
        for place, label in enumerate(batch.labels.tolist()):
            if seen == examples:
                return total / seen
            with learning(parameters):
                logits = says(take(batch.inputs, torch.tensor([place])))[0].float()
                total += flat(squared_slopes(logits, parameters, None if by_model else label))
            seen += 1
    return total / seen


class EWC(Strategy):
    """Elastic weight consolidation: a weight may move that the source's own task does not need.

    How much a weight matters is the mean, over examples of the source, of its squared gradient of
    each example's log-likelihood, at the source's weights, by its own head, in eval mode (the
    diagonal of the Fisher information). Classes are weighed as the model says them, which is the
    true Fisher; `labels=data` takes the examples' own, the empirical one. All of the backbone is
    pulled, biases and norm layers too; were it 1 everywhere this would be `l2_sp` (alpha).
    Weight decay stays as in full fine-tuning.

    Formula:
        CE + weight/2 sum_i F_i (w_i - w0_i)^2
    Try it:
        where the source's task must not be forgotten and its examples are at hand once; with few
        labels, in the place of a pull that is alike for all weights
    Cost:
        full fine-tuning, and once, before, for each of the examples a pass forward and as many back
        as the source has classes (one with `labels=data`); memory of the weights twice more
    Source:
        Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, PNAS, arXiv
        1612.00796, equation 3; 400 as in its games

    Args:
        weight: lambda, of the pull; 0 is full fine-tuning.
        examples: of the source, drawn by the seed block, that the Fisher is a mean over.
        labels: `model` or `data`, whose labels it is of.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("elastic_weight_consolidation",)
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs("head", domains=1, tasks=("classification",))
    baselines = Baselines(exploratory=["full_finetuning", "l2_sp"])
    closed_to = {"l2_sp": "the pull is strategy.weight"}
    space = {
        "lr_factor": rates(0.95, brief=0.95, small_images=1.0, images=3.2, text=0.095),
        "weight": Range(1.0, 1e5, default=400.0),
    }

    def __init__(
        self,
        weight: NotNegative = 400.0,
        examples: Count = 200,
        labels: Labels = "model",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.weight, self.examples, self.labels = weight, examples, labels

    def build(self, sizes: Sizes) -> None:
        check_classes(self.source_head, "ewc")
        self.scaffold["start"] = self.copied(self.backbone)
        weights = sum(parameter.numel() for parameter in self.backbone.parameters())
        self.scaffold.register_buffer("fisher", torch.zeros(weights))

    def phases(self) -> list[Phase]:
        train = super().phases()
        if not self.weight:
            return [*train]
        return [Phase("fisher", before=self.measure, reads=["source"]), *train]

    def measure(self, data: Data) -> None:
        """Find what each weight matters to the source's task."""
        found = fisher(
            lambda inputs: self.source_head(self.backbone(inputs)),
            [*self.backbone.parameters()],
            data.source[0],
            self.examples,
            by_model=self.labels == "model",
        )
        self.scaffold.get_buffer("fisher").copy_(found)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        loss = super().loss(batch, progress)
        if not self.weight:
            return loss
        start = self.scaffold["start"].parameters()
        ways = [w - w0 for w, w0 in zip(self.backbone.parameters(), start, strict=True)]
        return loss + self.weight * pull(self.scaffold.get_buffer("fisher"), flat(ways))
