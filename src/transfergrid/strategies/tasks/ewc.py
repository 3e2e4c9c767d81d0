"""Fine-tune with a pull of each weight to the source, as strong as the source's task needs."""

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
    """Return the squared gradient of one example's log-likelihood, for each parameter.

    Args:
        logits: logits of the example, (classes,).
        parameters: the parameters to differentiate by.
        label: its class; None: the mean over all classes, weighted by the model's probabilities.
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
    """Return half the squared displacement `way` (n,), weighted by Fisher information (n,)."""
    return 0.5 * (fisher * way.square()).sum()


@contextmanager
def learning(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Enable gradients of frozen parameters while inside."""
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
        says: returns logits, (batch, classes), in eval mode.
        parameters: the parameters that it is computed for.
        view: the examples, in an order that the seed block draws; the first ones are used.
        examples: how many are used, at most.
        by_model: whether classes are weighted by the model's probabilities; else labels are used.
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

    The importance of a weight is the mean, over examples of the source, of the squared gradient of
    each example's log-likelihood, at the source's weights, with its own head, in eval mode (the
    diagonal of the Fisher information). Classes are weighted by the model's probabilities, which
    gives the true Fisher; `labels=data` uses the examples' labels, the empirical one. The whole
    backbone is pulled, biases and norm layers too; with an importance of 1 everywhere this would be
    `l2_sp` (alpha). Weight decay stays as in full fine-tuning.

    Formula:
        CE + weight/2 sum_i F_i (w_i - w0_i)^2
    Try it:
        where the source's task must not be forgotten and its examples are available once; with few
        labels, instead of a pull that is the same for all weights
    Cost:
        full fine-tuning; before it, for each of the examples, one forward pass and as many backward
        passes as the source has classes (one with `labels=data`); two more copies of the weights in
        memory
    Source:
        Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, PNAS, arXiv
        1612.00796, equation 3; 400 as in its Atari experiments

    Args:
        weight: lambda, the weight of the pull; 0 is full fine-tuning.
        examples: number of source examples, drawn by the seed block, for the mean.
        labels: whether the Fisher uses the `model`'s probabilities or the labels of the `data`.
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
        """Compute the importance of each weight for the source's task."""
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
