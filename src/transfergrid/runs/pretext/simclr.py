"""Pretext task SimCLR: two views of an image are the most similar pair in a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from transfergrid.data.views import join_inputs
from transfergrid.records.arguments import Count, Positive
from transfergrid.runs.pretext.base import WIDTH, Pretext, dense
from transfergrid.strategies import Batch


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Return the NT-Xent loss: the mean over 2 n views of -log softmax of the other view's cosine.

    The softmax is over the 2 n - 1 other views: a view is not compared with itself.

    Args:
        one: projections of length 1, (n, d).
        other: projections of the other views of the same images, in the same order.
        temperature: divides cosines.
    """
    both = torch.cat([one, other])
    likeness = both @ both.T / temperature
    likeness = likeness.masked_fill(torch.eye(len(both), device=both.device).bool(), -torch.inf)
    return cross_entropy(likeness, torch.arange(len(both), device=both.device).roll(len(one)))


class Simclr(Pretext):
    """Two augmented views of each image, projected, must find each other in the batch (NT-Xent).

    One view is augmented as the training says, the other strongly; with
    `source.training.augmentation=strong` both are. Both pass through the network in one batch, so
    that BatchNorm cannot tell them apart. A batch of n images has 2 n - 2 negatives for each view:
    small batches teach little.

    Source: Chen et al. 2020, A simple framework for contrastive learning, ICML, arXiv 2002.05709,
    equation 1; the paper's crops and colours are this program's `strong`.

    Args:
        temperature: divides cosines.
        width: width of the projection.
    """

    reads = "views"
    finds = ("found_each_other",)

    def __init__(self, temperature: Positive = 0.5, width: Count = WIDTH) -> None:
        super().__init__()
        self.temperature, self.width = temperature, width

    def make(self) -> None:
        """See `Pretext.make`."""
        self.scaffold["projector"] = dense(self.backbone.dim, self.backbone.dim, self.width)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """See `Pretext.loss`."""
        assert batch.views is not None
        projected = self.scaffold["projector"](self.features(join_inputs(*batch.views)))
        one, other = normalize(projected, dim=1).chunk(2)
        likest = (one @ other.T).argmax(1)
        found = likest == torch.arange(len(one), device=one.device)
        self.note(found_each_other=found.float().mean())
        return nt_xent(one, other, self.temperature)
