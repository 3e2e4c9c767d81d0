"""A probe on features of all blocks, a share of which is selected by a group lasso."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from transfergrid.sources.backbone import Backbone
from transfergrid.strategies import (
    BadInputError,
    Baselines,
    Count,
    Data,
    Dial,
    ImpossibleError,
    Inputs,
    Needs,
    Phase,
    Positive,
    Range,
    Share,
    Sizes,
    Strategy,
    evaluating,
)
from transfergrid.strategies.closed_form.group_lasso import fit, of_classes, of_numbers
from transfergrid.strategies.closed_form.ridge import RidgePath
from transfergrid.strategies.closed_form.softmax_regression import Floats, logistic_head
from transfergrid.strategies.maps import channel_axes

PATH, USUAL = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0), 0.1
"""Shares of the features to choose from, and the share without a validation part."""
MOST = 2000
"""Most examples that the lasso sees: its time grows with the square of their number."""


def block_features(backbone: Backbone, inputs: Inputs, size: int) -> list[Tensor]:
    """Return features (batch, width) of each block, each row of length 1, in one forward pass.

    Maps are averaged over the finest grid that gives a block at most `size` features, but at least
    one for each channel; tokens are averaged without padding.
    """
    mask = inputs["attention_mask"] if isinstance(inputs, dict) else None
    found = backbone.boundaries(inputs, "fine")
    parts = zip(found, channel_axes(backbone, "fine"), strict=True)
    pooled = [_pooled(boundary[0], axis, mask, size) for boundary, axis in parts]
    return [normalize(part.flatten(1), dim=1) for part in pooled]


def _pooled(part: Tensor, axis: int, mask: Tensor | None, size: int) -> Tensor:
    if part.ndim == 4:
        part = part.movedim(axis, 1)
        side = max(1, min(int((size / part.shape[1]) ** 0.5), *part.shape[2:]))
        return adaptive_avg_pool2d(part, side)
    if part.ndim == 3 and mask is not None:
        share = mask.to(part) / mask.sum(1, keepdim=True).clamp_min(1)
        return torch.einsum("bt,btd->bd", share, part)
    return part.mean(1) if part.ndim == 3 else part


def kept(weights: Floats, share: float) -> Floats:
    """Return the sorted indices of the features that are kept, those with the largest weights.

    A share of 0.29 of 100 features keeps 29, where rounding of floats would give 28. At least one
    feature is kept.

    Args:
        weights: (d, outputs); the sum of a row's squares is its feature's score.
        share: share of the d features.
    """
    scores = np.square(weights).sum(axis=1)
    many = max(1, int(share * len(scores) + 1e-9))
    return np.sort(np.argsort(-scores, kind="stable")[:many])


class Head2toe(Strategy):
    """A probe on features of all blocks of the frozen source, of which a group lasso keeps a share.

    The weights of a first probe on all features decide which are kept; a second probe on those
    alone predicts. Maps are averaged over a grid, tokens over the text; the features of each block
    have length 1. Both probes are solved to their optimum on training examples alone, the lasso on
    at most 2000 of them. Validation chooses the share from .01 to 1; without a validation part it
    is a tenth. For numbers the second probe is `ridge`.

    Formula:
        mean CE(W f_all(x) + b, y) + lasso sum_i |w_i|; keep the share of largest |w_i|^2; then
        `logistic_probe` on f_kept

    Try it:
        Where the source's task is far from the target's: earlier layers may still have what its
        last layer has dropped. Where the tasks are near it is a more expensive `logistic_probe`.

    Cost:
        Seconds for the lasso, about a hundred times a probe. A prediction costs a pass of the
        source and a head on all features.

    Source:
        Evci et al. 2022, Head2Toe (arXiv 2201.03529), section 3; google-research/head2toe,
        finetune_fs.py.

    Args:
        fraction: share of the features that is kept; null: validation chooses.
        lasso: weight of the first probe's group lasso.
        c: inverse strength of the second probe's penalty, as in `logistic_probe`.
        size: most features of a block, unless it has more channels.
    """

    needs = Needs(steps=False, layers="some")
    baselines = Baselines(exploratory=["logistic_probe", "feature_extraction", "full_finetuning"])
    space = {
        "lasso": Range(1e-5, 1e-2, default=1e-4),
        "c": Range(1e-2, 1e3, default=10.0),
    }
    transfers = "features"
    also_called = ("head_to_toe", "h2t")
    badges = ("formula_exact",)

    def __init__(
        self,
        fraction: Share | None = None,
        lasso: Positive = 1e-4,
        c: Positive = 10.0,
        size: Count = 512,
    ) -> None:
        super().__init__()
        self.fraction, self.lasso, self.c, self.size = fraction, lasso, c, size
        self.values = PATH if fraction is None else (fraction,)

    def build(self, sizes: Sizes) -> None:
        self.widths = self._widths()
        self.head = self.task.head(sum(self.widths))
        shape = len(self.values), self.task.outputs, sum(self.widths) + 1
        self.scaffold.register_buffer("probes", torch.zeros(shape, dtype=torch.float64))

    def _widths(self) -> list[int]:
        try:
            with evaluating(self.backbone), torch.no_grad():
                found = block_features(self.backbone, self.backbone.example(2), self.size)
        except BadInputError as error:
            raise ImpossibleError(f"head2toe takes features of all blocks: {error}") from error
        return [part.shape[1] for part in found]

    @property
    def representation(self) -> str:
        return f"features of all blocks, {self.size} each"

    def represent(self, inputs: Inputs) -> Tensor:
        return torch.cat(block_features(self.backbone, inputs, self.size), dim=1)

    def phases(self) -> list[Phase]:
        default = USUAL if self.fraction is None else self.fraction
        share = Dial("fraction", self.values, self.put, default)
        return [Phase("select", before=self.solve, dial=share)]

    def solve(self, data: Data) -> None:
        """Score the features, and solve the second probe for each share."""
        assert data.target is not None
        features = data.target.features().cpu().double().numpy()
        labels = data.target.labels.cpu()
        weights = self._selecting(features, labels)
        probes = self.scaffold.get_buffer("probes").zero_()
        for probe, share in zip(probes, self.values, strict=True):
            some = kept(weights, share)
            found, biases = self._probe(features[:, some], labels)
            probe[:, some] = torch.from_numpy(found).to(probe)
            probe[:, -1] = torch.from_numpy(biases).to(probe)

    def _selecting(self, features: Floats, labels: Tensor) -> Floats:
        few = np.linspace(0, len(features) - 1, min(len(features), MOST)).astype(np.int64)
        if labels.is_floating_point():
            numbers = self.task.answers(labels[few]).numpy()
            spread = numbers.std(axis=0)
            ridge = of_numbers(numbers / np.where(spread > 0, spread, 1.0), self.lasso)
        else:
            ridge = of_classes(labels.numpy()[few], self.task.outputs, self.lasso)
        return fit(features[few], self.lasso, ridge)[0]

    def _probe(self, features: Floats, labels: Tensor) -> tuple[Floats, Floats]:
        if labels.is_floating_point():
            path = RidgePath(features, self.task.answers(labels).double().numpy())
            return path.at(path.best())
        return logistic_head(features, labels.numpy(), self.task.outputs, self.c)

    def put(self, fraction: float) -> None:
        """Use the probe of this share."""
        probe = self.scaffold.get_buffer("probes")[self.values.index(fraction)].float()
        self.task.fill(self.head, probe[:, :-1], probe[:, -1])

    def tells(self) -> dict[str, Any]:
        used = (self.head.get_parameter("weight") != 0).any(0)
        ends = pairwise([0, *np.cumsum(self.widths).tolist()])
        by_block = [int(used[begin:end].sum()) for begin, end in ends]
        return {"kept": sum(by_block), "of": sum(self.widths), "kept_by_block": by_block}
