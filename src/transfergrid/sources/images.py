"""Raw images to a network's inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from transfergrid.errors import BadInputError, check_known

if TYPE_CHECKING:
    from transfergrid.data.domain import Raw
    from transfergrid.sources.backbone import Inputs

AUGMENTATIONS = ("none", "light")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")

MAX_ROTATION = math.radians(10)
MAX_SCALING = 0.1
MAX_SHIFT = 0.06
"""As a share of the image's side."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True)
class ImagePreprocess:
    """Resizes, adapts channels, augments and normalises.

    An image that is not of the input's proportions is resized until it covers the input, and its
    centre is cut out.

    Attributes:
        size: height and width of the inputs.
        channels: of the inputs; grey images are repeated, coloured ones made grey as needed.
        mean: subtracted, one for each channel, on a scale of 0 to 1.
        std: divided by, one for each channel.
        interpolation: "nearest", "bilinear" or "bicubic"; antialiased when shrinking.
    """

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"

    def prepare(self, raw: Raw) -> Tensor:
        """Return images (n, channels, height, width), float32 in 0 to 1.

        Args:
            raw: n uint8 images (H, W, C), C 1 or 3, of equal or unequal sizes.

        Raises:
            BadInputError: an image is of another kind, or its channels cannot be adapted.
        """
        if len(raw) == 0:
            return torch.zeros(0, self.channels, *self.size)
        if isinstance(raw, np.ndarray) or len({np.shape(image) for image in raw}) == 1:
            return self._prepare_equal(np.asarray(raw))
        return torch.cat([self._prepare_equal(np.asarray(image)[None]) for image in raw])

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Tensor:
        """Return normalised images, as `prepared` (n, channels, height, width).

        Args:
            prepared: what `prepare` returned, on any device.
            augmentation: "none", or "light": each image is turned by up to 10 degrees, scaled by
                0.9 to 1.1 and shifted by up to 6 %. No flips: a flipped letter is another letter.
            rng: a CPU generator; without it nothing is augmented.

        Raises:
            BadInputError: there is no such augmentation.
        """
        check_known("augmentation", augmentation, AUGMENTATIONS)
        assert isinstance(prepared, Tensor)
        if augmentation == "light" and rng is not None and len(prepared):
            prepared = lightly_augmented(prepared, rng)
        mean, std = (prepared.new_tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (prepared - mean) / std

    def _prepare_equal(self, images: NDArray[Any]) -> Tensor:
        if images.ndim != 4 or images.dtype != np.uint8:
            found = f"{images.dtype} of shape {images.shape[1:]}"
            raise BadInputError(f"an image must be uint8 of shape (H, W, C), not {found}")
        writeable = images if images.flags.writeable else images.copy()
        pixels = torch.from_numpy(writeable).permute(0, 3, 1, 2).float().contiguous() / 255
        if self.channels == 1 and pixels.shape[1] == 3:
            pixels = (pixels * pixels.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
        return self._with_channels(_covering(pixels, self.size, self.interpolation))

    def _with_channels(self, pixels: Tensor) -> Tensor:
        if pixels.shape[1] == self.channels:
            return pixels
        if pixels.shape[1] == 1:
            return pixels.repeat(1, self.channels, 1, 1)
        raise BadInputError(
            f"images with {pixels.shape[1]} channels do not fit a network for {self.channels}"
        )


def _covering(pixels: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """Resize (n, c, H, W) until it covers `size`, then cut out the centre."""
    height, width = pixels.shape[-2:]
    scale = max(size[0] / height, size[1] / width)
    covering = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    if covering != (height, width):
        smooth = interpolation != "nearest"
        pixels = F.interpolate(
            pixels,
            covering,
            mode=interpolation,
            align_corners=False if smooth else None,
            antialias=smooth and scale < 1,
        ).clamp(0, 1)  # bicubic overshoots
    top, left = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    return pixels[..., top : top + size[0], left : left + size[1]].contiguous()


def lightly_augmented(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return images (n, c, h, w), each under a small random rotation, scaling and shift."""
    aspect = images.shape[-1] / images.shape[-2]
    maps = _random_maps(len(images), aspect, rng).to(images)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _random_maps(n: int, aspect: float, rng: torch.Generator) -> Tensor:
    """Draw maps (n, 2, 3) from an output's coordinates to its input's, both from -1 to 1."""
    turn, scaling, *shift = (2 * torch.rand(4, n, generator=rng) - 1).unbind()
    angle = MAX_ROTATION * turn
    scale = 1 + MAX_SCALING * scaling
    cos, sin = angle.cos() / scale, angle.sin() / scale
    across, down = (2 * MAX_SHIFT * s for s in shift)
    rows = [cos, -sin / aspect, across, sin * aspect, cos, down]
    return torch.stack(rows, dim=1).view(n, 2, 3)
