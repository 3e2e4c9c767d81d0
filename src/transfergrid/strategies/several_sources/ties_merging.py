"""Merge what several trainings added to one start: trim it, elect signs, take disjoint means."""

import torch
from torch import Tensor

from transfergrid.strategies import Dial, NotNegative, Positive, Range, Share
from transfergrid.strategies.several_sources.merging import MergedSources

PATH = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares that are looked at."""
USUAL = 0.2
"""The share where nothing validates (Yadav et al. 2023, section 4.2)."""


def trimmed(vectors: Tensor, keep: float) -> Tensor:
    """Return task vectors (sources, weights) with their largest entries alone, all others 0.

    Of each the entries of the largest magnitude stay, int(keep x weights) of all its weights
    together, of equal ones the first. The authors' code keeps one more.
    """
    number = int(keep * vectors.shape[1] + 1e-9)
    places = vectors.abs().argsort(dim=1, descending=True, stable=True)[:, :number]
    return torch.zeros_like(vectors).scatter(1, places, vectors.gather(1, places))


def elected(vectors: Tensor) -> Tensor:
    """Return the sign of the sum of trimmed vectors, (weights,).

    Where the sum is 0 it is the sign that most entries have been elected to, as in the authors'
    code, and 1 where these balance.
    """
    signs = vectors.sum(0).sign()
    majority = signs.sum().sign()
    return torch.where(signs == 0, torch.where(majority == 0, 1.0, majority).to(signs), signs)


def merged(vectors: Tensor, keep: float) -> Tensor:
    """Return the mean of the trimmed entries that have the elected sign, 0 where there are none."""
    left = trimmed(vectors, keep)
    agree = left.sign() == elected(left)
    return (left * agree).sum(0) / agree.sum(0).clamp(min=1)


class TiesMerging(MergedSources):
    """The start plus the disjoint mean of what trainings added, under a logistic probe (TIES).

    Each source's vector is trimmed to the share of its largest entries over all parameters
    together, not layer by layer; then each weight has the sign of their sum, and the mean of the
    entries that agree with it. Declared: int(keep n) entries stay where the authors' code keeps one
    more. A validation part chooses the share from .05, .1, .2, .3, .5, of equals the one nearest
    .2; where nothing validates it is .2. At a share of 1 it is no task arithmetic, which has
    neither signs nor a mean. The sources are trained here from one start, and files of their
    weights say the hash of it. All parameters are merged, those of normalisation layers too; no
    head is, and BatchNorm's statistics are taken anew over the target's training inputs. Any order
    of the sources is the same but for equal entries.

    Formula:
        w = w_0 + s mean of {trim(w_k - w_0)_i : its sign is that of sum_k trim(w_k - w_0)_i}

    Try it:
        where task arithmetic of several sources is worse than one of them alone: they pull the same
        weights to different sides

    Cost:
        a pass over the training inputs and a probe for each of five shares; prediction is one
        network's

    Source:
        Yadav et al. 2023, TIES-Merging: Resolving Interference When Merging Models, NeurIPS, arXiv
        2306.01708, section 3

    Args:
        keep: share of entries that stay; null lets the validation part choose.
        scale: of what is added.
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
