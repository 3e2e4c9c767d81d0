"""Fine-tune while maps inside the network stay those of the source, the useful channels most."""

from math import ceil
from typing import Any, Literal

import torch
from torch import Tensor, nn

from transfergrid.sources.backbone import Backbone
from transfergrid.strategies import (
    BadInputError,
    Baselines,
    Batch,
    Count,
    Data,
    ImpossibleError,
    Inputs,
    Needs,
    NotNegative,
    Objective,
    Phase,
    Range,
    Sizes,
    Strategy,
    evaluating,
    join_inputs,
    rates,
    take,
)
from transfergrid.strategies.closed_form.softmax_regression import logistic_head
from transfergrid.strategies.held_near.l2_sp import half_square
from transfergrid.strategies.maps import Map, as_map, channel_axes, silenced

ROWS = 64
"""Of what is run at once where channels are silenced, at most."""


def behaviour(theirs: Map, ours: Map, attention: Tensor) -> Tensor:
    """Return how far a map has moved of each example, (batch,).

    That is C / (2 places) times the sum over channels of a_c |difference|^2.

    Args:
        theirs: of the source, C channels.
        ours: of the network that learns.
        attention: a, of each channel, with sum 1: (C,).
    """
    squares = ((ours.values - theirs.values).square() * ours.real).sum(2)  # (batch, C)
    places = ours.real.sum(2).clamp(min=1)
    return 0.5 * len(attention) * (attention * squares / places).sum(1)


def attention_of(rises: Tensor) -> Tensor:
    """Return the softmax of a fifth of standardised rises of the loss, (C,) likewise.

    They are standardised in the authors' code; a short form of it is softmax(rises / 5).
    """
    spread = rises.std(correction=0).clamp(min=torch.finfo(rises.dtype).tiny)
    return ((rises - rises.mean()) / spread / 5).softmax(0)


class DELTA(Strategy):
    """What layers make of the target's inputs should stay what the source made of them.

    Maps are what leaves coarse blocks, at most four of them evenly spread and the embeddings the
    last: of convolutions channels at pixels, of transformers (which the paper has not) the hidden
    width at tokens that are no padding. A channel is attended to by how much the loss rises where
    it is silenced in the source, under a logistic regression on the source's features; once,
    before the first step, on the labelled training part alone. Nothing but the penalties decays.

    Formula:
        CE + alpha sum_maps C / (2 H W) sum_batch sum_c a_c |dF_c|^2 + beta/2 |head|^2;
        a = softmax(rise of the loss, standardised, / 5)
    Try it:
        with few labels and a source near the target, where `l2_sp` helps: it holds what the
        network does and lets its weights go
    Cost:
        one pass of the source a step, and before the first one a pass of what follows each map for
        each of its channels, of `examples` inputs: for a wide transformer as much as a short
        training; that of full fine-tuning at prediction
    Source:
        Li, Xiong, Wang, Rao, Liu & Huan 2019, DELTA: deep learning transfer using feature map with
        attention, ICLR, arXiv 1901.09229, section 3; a sum over the batch, C / (H W), half of each
        square and the standardising as in the authors' code

    Args:
        alpha: pull of the maps towards those of the source.
        beta: pull of the head towards zero; both stand in the place of weight decay.
        maps: how many there are at most.
        attention: "ablation" silences channel after channel; "uniform" attends to all alike.
        examples: of the training part, by which channels are attended to.
        reduction: "sum" over the batch, as in the authors' code, whose batches are of 64, or
            "mean", which needs an alpha as many times larger.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("behavioural_regularisation", "feature_map_regularization")
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs(tasks=("classification",), layers="some")
    baselines = Baselines(exploratory=["full_finetuning", "l2_sp"])
    space = {
        "lr_factor": rates(3.0, brief=3.0, small_images=1.0, images=1.0, text=0.3),
        "alpha": Range(1e-4, 1e-1, default=0.01),
        "beta": Range(1e-4, 1e-1, default=0.01),
    }
    transfers = "features"

    def __init__(
        self,
        alpha: NotNegative = 0.01,
        beta: NotNegative = 0.01,
        maps: Count = 4,
        attention: Literal["ablation", "uniform"] = "ablation",
        examples: Count = 16,
        reduction: Literal["sum", "mean"] = "sum",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.alpha, self.beta, self.maps = alpha, beta, maps
        self.attention, self.examples, self.reduction = attention, examples, reduction

    def build(self, sizes: Sizes) -> None:
        self.scaffold["start"] = self.copied(self.backbone)
        blocks, batch = len(self.backbone.blocks("coarse")), self.training_plan.batch_size
        self.cuts = sorted({ceil(blocks * i / self.maps) for i in range(1, self.maps + 1)})
        self.times = min(batch, sizes.target) if self.reduction == "sum" else 1
        for cut, width in zip(self.cuts, self._widths(), strict=True):
            self.scaffold.register_buffer(f"attention_{cut}", torch.full((width,), 1 / width))

    def _widths(self) -> list[int]:
        """Return how many channels each map has.

        Raises:
            ImpossibleError: the network cannot be cut between its blocks.
        """
        try:
            with evaluating(self.backbone), torch.no_grad():
                crossing = self.backbone.boundaries(self.backbone.example(2))
        except BadInputError as error:
            raise ImpossibleError(f"delta compares maps between blocks, and {error}") from error
        return [crossing[cut - 1][0].shape[self._axis(cut)] for cut in self.cuts]

    def _axis(self, cut: int) -> int:
        return channel_axes(self.backbone)[cut - 1]

    @property
    def start(self) -> Backbone:
        """The source."""
        own = self.scaffold["start"]
        assert isinstance(own, Backbone)
        return own

    def attended(self, cut: int) -> Tensor:
        """Return the attention to each channel of the map before a coarse block, (C,)."""
        return self.scaffold.get_buffer(f"attention_{cut}")

    def phases(self) -> list[Phase]:
        learns = [group._replace(decay=False) for group in self.everything()]
        before = self.attend if self.attention == "ablation" else None
        return [Phase("train", [Objective(self.loss, learns)], before=before, cached=False)]

    def attend(self, data: Data) -> None:
        """Attend to channels by how much the loss rises without each."""
        assert data.target is not None
        features, labels = data.target.features(), data.target.labels
        fitted = logistic_head(
            features.cpu().double().numpy(), labels.cpu().numpy(), self.task.outputs, 1.0
        )
        head = [torch.from_numpy(part).to(features) for part in fitted]
        inputs, labels = self._some(data)
        crossing = self.start.boundaries(inputs)
        before = self._losses(crossing[-1][0], labels, *head)
        for cut in self.cuts:
            rises = self._without_each(cut, crossing[cut - 1], labels, *head) - before
            self.attended(cut).copy_(attention_of(rises))

    def _some(self, data: Data) -> tuple[Inputs, Tensor]:
        """Return inputs and labels of some training examples, drawn at random."""
        assert data.target is not None
        chosen = torch.randperm(len(data.target))[: self.examples]
        found: list[tuple[Inputs, Tensor]] = []
        for part in data.target.batches():
            assert part.rows is not None
            own = torch.isin(part.rows, chosen.to(part.rows)).nonzero()[:, 0]
            if len(own):
                found.append((take(part.inputs, own), part.labels[own]))
        inputs, labels = found[0]
        for more, theirs in found[1:]:
            inputs, labels = join_inputs(inputs, more), torch.cat([labels, theirs])
        return inputs, labels

    def _without_each(
        self, cut: int, boundary: tuple[Tensor, ...], labels: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        """Return the source's loss without each channel of a map, (C,)."""
        behind, width = self.start.suffix(cut, "coarse"), len(self.attended(cut))
        channels, axis = torch.arange(width, device=labels.device), self._axis(cut)
        return torch.cat(
            [
                self._losses(behind(silenced(boundary, some, axis)), labels, weight, bias)
                for some in torch.split(channels, max(1, ROWS // len(labels)))
            ]
        )

    def _losses(self, features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the mean loss of each time that a batch stands in these rows, (times,)."""
        times = len(features) // len(labels)
        logits, labels = features @ weight.T + bias, labels.repeat(times)
        each = nn.functional.cross_entropy(logits, labels, reduction="none")
        return each.view(times, -1).mean(1)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        ours = self.backbone.boundaries(seen.inputs)
        with torch.no_grad():
            theirs = self.start.boundaries(seen.inputs)
        moved = []
        for cut in self.cuts:
            axis, hidden = self._axis(cut), (theirs[cut - 1][0], ours[cut - 1][0])
            before, now = (as_map(state, seen.inputs, axis) for state in hidden)
            moved.append(behaviour(before, now, self.attended(cut)).mean())
        fit = self.task.loss(self.head(ours[-1][0]), seen.labels)
        pull = self.alpha * self.times * torch.stack(moved).sum()
        return fit + pull + self.beta * half_square([*self.head.parameters()])
