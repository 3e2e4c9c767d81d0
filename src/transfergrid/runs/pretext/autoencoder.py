"""Pretext task: reconstruct inputs from their embeddings."""

from __future__ import annotations

from torch import Tensor

from transfergrid.records.arguments import Count
from transfergrid.runs.pretext.base import WIDTH, Pretext, dense, images_of
from transfergrid.strategies import Batch
from transfergrid.strategies.unlabelled.sparse_coding import flat


class Autoencoder(Pretext):
    """A decoder of two dense layers makes inputs again; of large images it makes averages.

    Formula: mean over numbers of (x - decoder(f(x)))^2.

    Source: Hinton & Salakhutdinov 2006, Reducing the dimensionality of data with neural networks.

    Args:
        width: width of the decoder.
    """

    def __init__(self, width: Count = WIDTH) -> None:
        super().__init__()
        self.width = width

    def make(self) -> None:
        """See `Pretext.make`."""
        example = self.backbone.example()
        numbers = flat(example).shape[1]
        self.scaffold["decoder"] = dense(self.backbone.dim, self.width, numbers)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """See `Pretext.loss`."""
        inputs = images_of(batch)
        made: Tensor = self.scaffold["decoder"](self.features(inputs))
        return (made - flat(inputs)).square().mean()
