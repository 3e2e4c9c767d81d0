"""Random augmentations of images (n, c, h, w) with values from 0 to 1 that preserve labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True)
class Motion:
    """Largest rotation, scaling and shift of an image; drawn uniformly to both sides.

    Attributes:
        rotation: in radians.
        scaling: change of size, as a share of it.
        shift: as a share of the image's side, across and down.
    """

    rotation: float
    scaling: float
    shift: float


LIGHT = Motion(math.radians(10), 0.1, 0.06)
STRONG = Motion(math.radians(20), 0.25, 0.12)

JITTER = 0.3
"""Brightness, contrast and saturation are each multiplied by a factor from 0.7 to 1.3."""
ERASED = 0.5
"""Probability that a rectangle of an image is erased (Zhong et al. 2020, Random Erasing)."""
ERASED_AREA = (0.02, 0.2)
"""Range of its area, as a share of the image's. The paper's upper end of 0.4 would hide whole
letters and digits."""
ERASED_ASPECT = (0.3, 1 / 0.3)


def lightly_augmented(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return images (n, c, h, w), each under a small random rotation, scaling and shift."""
    return moved(images, LIGHT, rng)


def strongly_augmented(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return images (n, c, h, w), each moved further and jittered, half with a rectangle erased."""
    return erased(jittered(moved(images, STRONG, rng), rng), rng)


def moved(images: Tensor, most: Motion, rng: torch.Generator) -> Tensor:
    """Return images (n, c, h, w), each under a random rotation, scaling and shift."""
    aspect = images.shape[-1] / images.shape[-2]
    maps = _random_maps(len(images), aspect, most, rng).to(images)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _random_maps(n: int, aspect: float, most: Motion, rng: torch.Generator) -> Tensor:
    """Draw affine maps (n, 2, 3) from output to input coordinates, both from -1 to 1."""
    turn, scaling, *shift = (2 * torch.rand(4, n, generator=rng) - 1).unbind()
    angle = most.rotation * turn
    scale = 1 + most.scaling * scaling
    cos, sin = angle.cos() / scale, angle.sin() / scale
    across, down = (2 * most.shift * s for s in shift)
    rows = [cos, -sin / aspect, across, sin * aspect, cos, down]
    return torch.stack(rows, dim=1).view(n, 2, 3)


def jittered(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return images (n, c, h, w), each with random brightness, contrast and saturation.

    Brightness scales the pixels, contrast their distance from the image's mean grey, saturation
    their distance from their own grey; saturation needs three channels.
    """
    draws = (2 * torch.rand(3, len(images), generator=rng) - 1).to(images)
    brightness, contrast, saturation = (1 + JITTER * draws).view(3, -1, 1, 1, 1).unbind()
    images = (images * brightness).clamp(0, 1)
    mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
    images = (mean + (images - mean) * contrast).clamp(0, 1)
    if images.shape[1] != len(LUMA):
        return images
    grey = _grey(images)
    return (grey + (images - grey) * saturation).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    """Return (n, 1, h, w): the luma of three channels, the mean of any other number."""
    if images.shape[1] != len(LUMA):
        return images.mean(dim=1, keepdim=True)
    return (images * images.new_tensor(LUMA).view(-1, 1, 1)).sum(1, keepdim=True)


def erased(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return images (n, c, h, w); in some, a random rectangle is filled with the image's mean.

    Its area is 1/50 to 1/5 of the image's (after Zhong et al. 2020, Random Erasing). A side that
    would be longer than the image's is shortened to it.
    """
    chance, *draws = torch.rand(5, len(images), generator=rng).to(images).unbind()
    height, width = images.shape[-2:]
    area = ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * draws[0]
    low, high = (math.log(end) for end in ERASED_ASPECT)
    aspect = (low + (high - low) * draws[1]).exp()
    tall = ((area * aspect).sqrt() * height).clamp(1, height)
    wide = ((area / aspect).sqrt() * width).clamp(1, width)
    inside = _between(draws[2] * (height - tall), tall, height)[:, None, :, None]
    inside = inside & _between(draws[3] * (width - wide), wide, width)[:, None, None, :]
    inside &= (chance < ERASED).view(-1, 1, 1, 1)
    return torch.where(inside, images.mean(dim=(2, 3), keepdim=True), images)


def _between(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Return which of the centres of `size` pixels are in each interval, (n, size)."""
    centres = torch.arange(size, device=start.device) + 0.5
    return (centres >= start[:, None]) & (centres < (start + length)[:, None])
