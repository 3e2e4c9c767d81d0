"""The class whose mean is nearest, on the frozen source."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from transfergrid.strategies import Baselines, Data, Inputs, Needs, Phase, Sizes, Strategy


def nearest_mean(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the linear head w = 2c, b = -|c|^2: its softmax is that of minus squared distances.

    Args:
        features: (n, dim).
        labels: (n,) int64.
        classes: number of classes; one without examples is never predicted.
    """
    known = torch.nn.functional.one_hot(labels, classes).to(features)
    counts = known.sum(0)
    means = known.T @ features / counts.clamp_min(1)[:, None]
    return 2 * means, torch.where(counts > 0, -means.square().sum(1), -1e9)


def brought(features: Tensor, centre: Tensor | None, normalised: bool) -> Tensor:
    """Return features (n, dim) minus a centre (dim,), if any, then scaled to length 1, if asked."""
    moved = features if centre is None else features - centre
    return normalize(moved, dim=1) if normalised else moved


class Prototypes(Strategy):
    """Nearest class mean under the squared distance.

    Features may be centred by the mean of all training features, then scaled to length 1; a class
    mean is not normalised again. Centring alone changes no prediction.

    Formula:
        p(y = k | x) = softmax_k of -|f(x) - c_k|^2, c_k the mean of class k

    Try it:
        With one to five labels a class. Normalise where the lengths of features say little about
        the class (ReLU features); centre as well where all features point in one direction.

    Cost:
        One mean for each class. Prediction costs what the source costs.

    Source:
        Snell et al. 2017, Prototypical Networks (arXiv 1703.05175), section 2.4; centring and
        normalising: Wang et al. 2019, SimpleShot (arXiv 1911.04623), section 3, whose centre is the
        mean of the source's classes.

    Args:
        centre: `target` subtracts the mean of the target's training features; null: no centring.
        normalise: `l2` scales features to length 1; null: no scaling.
    """

    needs = Needs(steps=False, tasks=("classification",))
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    transfers = "features"
    optional = ("centre", "normalise")
    variants = {"simpleshot": "strategy.centre=target strategy.normalise=l2"}
    also_called = ("nearest_mean", "nearest_class_mean", "ncm", "nearest_centroid", "prototype")
    badges = ("formula_exact",)

    centre_of: Tensor

    def __init__(
        self, centre: Literal["target"] | None = None, normalise: Literal["l2"] | None = None
    ) -> None:
        super().__init__()
        self.centre, self.normalise = centre, normalise

    def build(self, sizes: Sizes) -> None:
        if self.centre is not None:
            self.register_buffer("centre_of", torch.zeros(self.backbone.dim))

    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    def solve(self, data: Data) -> None:
        """Set the centre, if there is one, and the head."""
        assert data.target is not None
        features = data.target.features()
        if self.centre is not None:
            self.centre_of.copy_(features.mean(0))
        found = nearest_mean(self._brought(features), data.target.labels, self.task.outputs)
        self.task.fill(self.head, *found)

    def _brought(self, features: Tensor) -> Tensor:
        centre = self.centre_of if self.centre is not None else None
        return brought(features, centre, self.normalise is not None)

    def predict(self, inputs: Inputs) -> Tensor:
        outputs: Tensor = self.head(self._brought(self.features(inputs)))
        return outputs
