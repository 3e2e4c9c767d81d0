"""Pretext task: reconstruct patches that were masked in an image from the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfergrid.records.arguments import Count, Part
from transfergrid.records.errors import BadInputError
from transfergrid.runs.pretext.base import WIDTH, Pretext, dense, images_of, pixels_of
from transfergrid.sources.pretrained_here import PATCHES as SIDE
from transfergrid.strategies import Batch
from transfergrid.strategies.unlabelled.sparse_coding import LARGEST

LEAST = 1e-6
"""Added to the variance of a patch, so that a constant patch does not divide by 0."""


def masking(noise: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of kept patches (n, k), a mask (n, p) and an order (n, p).

    The k = int(p (1 - share)) patches of least noise are kept. The mask is 1 for removed patches.
    The order sorts patches, kept ones first and then removed ones, back to their places.

    Args:
        noise: random numbers, (n, p).
        share: share of the patches that is removed.
    """
    patches = noise.shape[1]
    kept = int(patches * (1 - share))
    order = noise.argsort(1)
    restore = order.argsort(1)
    mask = torch.ones_like(noise)
    mask[:, :kept] = 0
    return order[:, :kept], mask.gather(1, restore), restore


def masked_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of losses (n, p) over the removed patches only."""
    return (losses * mask).sum() / mask.sum()


def patched(images: Tensor, side: int) -> Tensor:
    """Return images (n, c, h, w) as patches (n, side * side, numbers), row by row."""
    n, c, h, w = images.shape
    cut = images.reshape(n, c, side, h // side, side, w // side)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n, side * side, -1)


def normalised(patches: Tensor) -> Tensor:
    """Return patches (n, p, numbers), each normalised to mean 0 and unbiased variance 1."""
    mean, variance = patches.mean(2, keepdim=True), patches.var(2, keepdim=True)
    return (patches - mean) / (variance + LEAST).sqrt()


class Mae(Pretext):
    """A masked autoencoder for any network: most patches are blank, and a decoder makes them.

    Declared: 4 by 4 patches; removed patches are blank and not left out, because a convolutional
    network needs its whole image; the decoder is two dense layers on the embedding, no transformer;
    images larger than 32 pixels are reconstructed as averages. The loss is on removed patches
    only, each normalised.

    Source: He et al. 2022, Masked autoencoders are scalable vision learners, CVPR, arXiv
    2111.06377, section 3 and models_mae.py.

    Args:
        masked: share of the patches that is removed.
        width: width of the decoder.
    """

    def __init__(self, masked: Part = 0.75, width: Count = WIDTH) -> None:
        super().__init__()
        self.masked, self.width = masked, width

    def make(self) -> None:
        """See `Pretext.make`.

        Raises:
            BadInputError: an image cannot be cut into 4 by 4 patches.
        """
        high, wide = pixels_of(self.backbone)
        if high % SIDE or wide % SIDE:
            raise BadInputError(
                f"source.method=mae cuts images into {SIDE} by {SIDE} patches, and "
                f"{self.backbone.title} takes {high} by {wide} pixels"
            )
        numbers = patched(self._small(self.backbone.example()), SIDE)[0].numel()
        self.scaffold["decoder"] = dense(self.backbone.dim, self.width, numbers)

    def _small(self, images: object) -> Tensor:
        assert isinstance(images, Tensor)
        if max(images.shape[2:]) > LARGEST:
            return nn.functional.adaptive_avg_pool2d(images, LARGEST)
        return images

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """See `Pretext.loss`."""
        images = images_of(batch)
        noise = torch.rand(len(images), SIDE**2, device=images.device, dtype=torch.float32)
        mask = masking(noise, self.masked)[1].to(images)
        blank = nn.functional.interpolate(
            mask.view(-1, 1, SIDE, SIDE), size=images.shape[2:], mode="nearest"
        )
        made = self.scaffold["decoder"](self.features(images * (1 - blank)))
        true = normalised(patched(self._small(images), SIDE))
        losses = (made.view_as(true) - true).square().mean(2)
        return masked_mean(losses, mask)
