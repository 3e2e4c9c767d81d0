"""A probe on features of all blocks, of which a group lasso keeps a share."""

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
"""Shares of the features that are looked at, and that where nothing validates."""
MOST = 2000
"""Examples that the lasso sees at most, for its time grows with their square."""


def block_features(backbone: Backbone, inputs: Inputs, size: int) -> list[Tensor]:
    """Return features (batch, width) of each block in one pass, each row of length 1.

    Maps are averaged over a grid so fine that a block has at most `size` features, and at least one
    a channel; tokens are averaged, padding left out.
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
    """Return the numbers of the features that are kept, sorted: those of the largest weights.

    Of 0.29 of 100 features it is 29, which times of floats would make 28; it is always one.

    Args:
        weights: (d, outputs); the sum of a row's squares is its feature's score.
        share: of d.
    """
    scores = np.square(weights).sum(axis=1)
    many = max(1, int(share * len(scores) + 1e-9))
    return np.sort(np.argsort(-scores, kind="stable")[:many])


class Head2toe(Strategy):
    """A probe on features of all blocks of the frozen source, of which a group lasso keeps a share.

    A first probe on all of them says by its weights which are kept; a second one, of those alone,
    predicts. Maps are averaged over a grid, tokens over the text; features of a block have length
    1. Both probes are solved to their optimum and see training examples alone, the lasso at most
    2000 of them. A validation part chooses the share from .01 to 1; where nothing validates it is a
    tenth. For numbers the second probe is `ridge`.

    Formula:
        mean CE(W f_all(x) + b, y) + lasso sum_i |w_i|; keep the share of largest |w_i|^2; then
        `logistic_probe` on f_kept

    Try it:
        Where the source's task is far from the target's: what its last layer has dropped may still
        be in earlier ones. Where they are near it is a costlier `logistic_probe`.

    Cost:
        Seconds for the lasso, some hundred times a probe. A prediction costs what the source's
        costs, and a head on all features.

    Source:
        Evci et al. 2022, Head2Toe (arXiv 2201.03529), section 3; google-research/head2toe,
        finetune_fs.py.

    Args:
        fraction: share of the features that is kept; null: the validation part chooses.
        lasso: weight of the group lasso of the first probe.
        c: inverse strength of the second probe's penalty, as of `logistic_probe`.
        size: features of a block at most, but for one a channel.
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
        """Select features and solve for the second probe of each share."""
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
        """Take the probe of a share."""
        probe = self.scaffold.get_buffer("probes")[self.values.index(fraction)].float()
        self.task.fill(self.head, probe[:, :-1], probe[:, -1])

    def tells(self) -> dict[str, Any]:
        used = (self.head.get_parameter("weight") != 0).any(0)
        ends = pairwise([0, *np.cumsum(self.widths).tolist()])
        by_block = [int(used[begin:end].sum()) for begin, end in ends]
        return {"kept": sum(by_block), "of": sum(self.widths), "kept_by_block": by_block}
