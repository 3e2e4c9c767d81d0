"""Merge task vectors of one start: trim them, elect signs, take disjoint means (TIES)."""

import torch
from torch import Tensor

from transfergrid.strategies import Dial, NotNegative, Positive, Range, Share
from transfergrid.strategies.several_sources.merging import MergedSources

PATH = (0.05, 0.1, 0.2, 0.3, 0.5)
"""The shares that are tried."""
USUAL = 0.2
"""The share without a validation part (Yadav et al. 2023, section 4.2)."""


def trimmed(vectors: Tensor, keep: float) -> Tensor:
    """Return task vectors (sources, weights) with all but their largest entries set to 0.

    Each vector keeps its int(keep * weights) entries of largest magnitude, over all layers
    together; among equal ones the first. The authors' code keeps one more.
    """
    number = int(keep * vectors.shape[1] + 1e-9)
    places = vectors.abs().argsort(dim=1, descending=True, stable=True)[:, :number]
    return torch.zeros_like(vectors).scatter(1, places, vectors.gather(1, places))


def elected(vectors: Tensor) -> Tensor:
    """Return the elected sign of each weight: the sign of the sum of trimmed vectors, (weights,).

    Where the sum is 0 it is the sign that most other weights elected, as in the authors' code, and
    1 where these are balanced.
    """
    signs = vectors.sum(0).sign()
    majority = signs.sum().sign()
    return torch.where(signs == 0, torch.where(majority == 0, 1.0, majority).to(signs), signs)


def merged(vectors: Tensor, keep: float) -> Tensor:
    """Return the mean of the trimmed entries with the elected sign; 0 where there are none."""
    left = trimmed(vectors, keep)
    agree = left.sign() == elected(left)
    return (left * agree).sum(0) / agree.sum(0).clamp(min=1)


class TiesMerging(MergedSources):
    """The start plus the disjoint mean of what trainings added, under a logistic probe (TIES).

    Each source's task vector is trimmed to a share of its entries, the largest over all parameters
    together, not layer by layer. Then each weight gets the sign of the sum of its entries, and the
    mean of those that have this sign. Declared: int(keep n) entries stay; the authors' code keeps
    one more. A validation part chooses the share from .05, .1, .2, .3, .5; among equal scores the
    share nearest to .2 on this path wins, and without a validation part it is .2. At a share of 1
    it is not task arithmetic, which has neither signs nor a mean. The sources are trained here from
    one start, and the files of their weights contain its hash. All parameters of the backbone are
    merged, including those of normalisation layers, but no head, and BatchNorm's statistics are
    recomputed over the target's training inputs. The order of the sources makes no difference.

    Formula:
        w = w_0 + s mean of {trim(w_k - w_0)_i : its sign is that of sum_k trim(w_k - w_0)_i}

    Try it:
        where task arithmetic of several sources is worse than one of them alone: they pull the same
        weights in opposite directions

    Cost:
        a pass over the training inputs and a probe for each of five shares; prediction costs that
        of one network

    Source:
        Yadav et al. 2023, TIES-Merging: Resolving Interference When Merging Models, NeurIPS, arXiv
        2306.01708, section 3

    Args:
        keep: share of entries that stay; null lets the validation part choose.
        scale: factor on the merged vector.
        c: inverse strength of the probe's penalty, as of `logistic_probe`.
    """

    space = {"keep": Range(0.05, 0.5, default=None)}
    also_called = ("ties", "trim_elect_sign_and_merge")
    badges = ("formula_exact",)

    def __init__(
        self, keep: Share | None = None, scale: NotNegative = 1.0, c: Positive = 1.0
    ) -> None:
        super().__init__(c)
        self.keep, self.scale = keep, scale

    @property
    def dial(self) -> Dial:
        values, usual = (PATH, USUAL) if self.keep is None else ((self.keep,), self.keep)
        return Dial("keep", values, self.put, usual)

    def moved(self, vectors: Tensor, value: float) -> Tensor:
        return self.scale * merged(vectors, value)
