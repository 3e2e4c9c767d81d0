"""Fine-tune while feature maps stay near the source's, above all in the useful channels."""

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
"""Most rows in one forward pass where channels are silenced."""


def behaviour(theirs: Map, ours: Map, attention: Tensor) -> Tensor:
    """Return how far a feature map has moved for each example, (batch,).

    It is C / (2 places) times the sum over channels of a_c |difference|^2.

    Args:
        theirs: the source's map, with C channels.
        ours: the map of the network that learns.
        attention: a, the weight of each channel, with sum 1: (C,).
    """
    squares = ((ours.values - theirs.values).square() * ours.real).sum(2)  # (batch, C)
    places = ours.real.sum(2).clamp(min=1)
    return 0.5 * len(attention) * (attention * squares / places).sum(1)


def attention_of(rises: Tensor) -> Tensor:
    """Return the attention to each channel, softmax(standardised rises / 5), (C,).

    The rises of the loss, (C,), are standardised as in the authors' code; without that, it would
    be softmax(rises / 5).
    """
    spread = rises.std(correction=0).clamp(min=torch.finfo(rises.dtype).tiny)
    return ((rises - rises.mean()) / spread / 5).softmax(0)


class DELTA(Strategy):
    """What layers make of the target's inputs should stay what the source made of them.

    Maps are the outputs of at most four coarse blocks, evenly spread; the last are the embeddings.
    For convolutions they are channels at pixels, for transformers (which the paper does not treat)
    the hidden width at tokens that are not padding. The attention to a channel grows with the rise
    of the loss when it is silenced in the source, under a logistic regression on the source's
    features; it is computed once, before the first step, on the labelled training part alone. No
    weight decays except by the two penalties.

    Formula:
        CE + alpha sum_maps C / (2 H W) sum_batch sum_c a_c |dF_c|^2 + beta/2 |head|^2;
        a = softmax(rise of the loss, standardised, / 5)
    Try it:
        with few labels and a source near the target, where `l2_sp` helps: it restricts what the
        network computes and leaves its weights free
    Cost:
        one forward pass of the source a step. Before the first step, `examples` inputs pass through
        the blocks after each map once for each of its channels: for a wide transformer this takes
        as long as a short training. Nothing more at prediction
    Source:
        Li, Xiong, Wang, Rao, Liu & Huan 2019, DELTA: deep learning transfer using feature map with
        attention, ICLR, arXiv 1901.09229, section 3; sum over the batch, factor C / (H W), half of
        each square and standardised rises as in the authors' code

    Args:
        alpha: strength of the pull of the maps towards the source's.
        beta: strength of the pull of the head towards zero; both replace weight decay.
        maps: number of maps, at most.
        attention: "ablation" silences one channel after another; "uniform" weighs all alike.
        examples: number of training examples that the attention is computed on.
        reduction: "sum" over the batch, as in the authors' code with its batches of 64, or "mean",
            which needs an alpha that is larger by the batch size.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("behavioural_regularisation", "feature_map_regularization")
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs(tasks=("classification",), layers="some")
    baselines = Baselines(exploratory=["full_finetuning", "l2_sp"])
    space = {
        "lr_factor": rates(3.0, brief=3.0, small_images=3.0, images=1.0, text=0.3),
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
        """Return the number of channels of each map.

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
        """The frozen copy of the source."""
        own = self.scaffold["start"]
        assert isinstance(own, Backbone)
        return own

    def attended(self, cut: int) -> Tensor:
        """Return the attention to each channel of the map at a cut between coarse blocks, (C,)."""
        return self.scaffold.get_buffer(f"attention_{cut}")

    def phases(self) -> list[Phase]:
        learns = [group._replace(decay=False) for group in self.everything()]
        before = self.attend if self.attention == "ablation" else None
        return [Phase("train", [Objective(self.loss, learns)], before=before, cached=False)]

    def attend(self, data: Data) -> None:
        """Compute the attention to channels from how much the loss rises without each."""
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
        """Return the source's loss when each channel of a map is silenced in turn, (C,)."""
        behind, width = self.start.suffix(cut, "coarse"), len(self.attended(cut))
        channels, axis = torch.arange(width, device=labels.device), self._axis(cut)
        return torch.cat(
            [
                self._losses(behind(silenced(boundary, some, axis)), labels, weight, bias)
                for some in torch.split(channels, max(1, ROWS // len(labels)))
            ]
        )

    def _losses(self, features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the mean loss of each repetition of the batch in the rows, (times,)."""
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
