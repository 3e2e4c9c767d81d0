"""Preprocessing of images to a network's inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.training import AUGMENTATIONS
from transfergrid.sources.preprocessing.augmenting import (
    LUMA,
    lightly_augmented,
    strongly_augmented,
)

if TYPE_CHECKING:
    from transfergrid.data.inputs import Inputs, Raw

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


@dataclass(frozen=True)
class ImagePreprocess:
    """Resizes, adapts channels, augments and normalises.

    An image is resized until it just covers the input, keeping its aspect ratio; then the centre
    is cropped. The number of channels is adapted to the network's:

    - one channel is repeated;
    - for a network of one channel, three become their luma, any other number their mean;
    - two become three by appending their mean;
    - of more channels than the network takes, the first ones are used: of red, green, blue and
      near-infrared the first three.

    Attributes:
        size: height and width of the inputs.
        channels: of the inputs.
        mean: subtracted, one number per channel, on a scale of 0 to 1.
        std: the divisor after that, one number per channel.
        interpolation: "nearest", "bilinear" or "bicubic"; antialiased when shrinking.
        bgr: whether the network takes blue first; mean and std are then in this order too.
    """

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    bgr: bool = field(default=False, repr=False)  # the text without it is part of fingerprints

    def __str__(self) -> str:
        """Return a text that contains all settings."""
        return f"{self!r}, blue first" if self.bgr else repr(self)

    def prepare(self, raw: Raw) -> Tensor:
        """Return images (n, channels, height, width), float32 from 0 to 1.

        Args:
            raw: n uint8 images (H, W, C); sizes and numbers of channels may differ.

        Raises:
            BadInputError: an image has another shape or type, or its channels cannot be adapted.
        """
        if len(raw) == 0:
            return torch.zeros(0, self.channels, *self.size)
        if isinstance(raw, np.ndarray) or len({np.shape(image) for image in raw}) == 1:
            return self._prepare_equal(np.asarray(raw))
        return torch.cat([self._prepare_equal(np.asarray(image)[None]) for image in raw])

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Tensor:
        """Return augmented and normalised images (n, channels, height, width).

        Args:
            prepared: the output of `prepare`, on any device.
            augmentation: "none"; "light": each image is rotated by up to 10 degrees, scaled by
                0.9 to 1.1 and shifted by up to 6 %; "strong": the same by up to 20 degrees, 0.75
                to 1.25 and 12 %; also brightness, contrast and saturation are changed by up to
                30 %, and in half of the images a rectangle is erased. There are no flips, because
                a flipped letter is another letter.
            rng: a CPU generator; without it nothing is augmented.

        Raises:
            BadInputError: there is no such augmentation.
        """
        check_known("augmentation", augmentation, AUGMENTATIONS)
        assert isinstance(prepared, Tensor)
        if augmentation != "none" and rng is not None and len(prepared):
            augmented = lightly_augmented if augmentation == "light" else strongly_augmented
            prepared = augmented(prepared, rng)
        prepared = prepared.flip(1) if self.bgr else prepared
        mean, std = (prepared.new_tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (prepared - mean) / std

    def _prepare_equal(self, images: NDArray[Any]) -> Tensor:
        if images.ndim != 4 or images.dtype != np.uint8:
            found = f"{images.dtype} of shape {images.shape[1:]}"
            raise BadInputError(f"an image must be uint8 of shape (H, W, C), not {found}")
        writeable = images if images.flags.writeable else images.copy()
        first = torch.from_numpy(writeable).permute(0, 3, 1, 2).contiguous()
        pixels = first.float().div_(255)  # in place: a photo takes 144 MB as float32
        pixels = _fewer_channels(pixels, self.channels)
        return _more_channels(_covering(pixels, self.size, self.interpolation), self.channels)


def _fewer_channels(pixels: Tensor, channels: int) -> Tensor:
    """Reduce images (n, c, H, W) to `channels` channels, if they have more."""
    found = pixels.shape[1]
    if channels == 1 and found == len(LUMA):
        return (pixels * pixels.new_tensor(LUMA).view(-1, 1, 1)).sum(1, keepdim=True)
    if channels == 1 and found > 1:
        return pixels.mean(1, keepdim=True)
    return pixels[:, :channels].contiguous() if found > channels else pixels


def _more_channels(pixels: Tensor, channels: int) -> Tensor:
    """Extend images (n, c, H, W) to `channels` channels, if they have fewer."""
    found = pixels.shape[1]
    if found == channels:
        return pixels
    if found == 1:
        return pixels.repeat(1, channels, 1, 1)
    if (found, channels) == (2, 3):
        return torch.cat([pixels, pixels.mean(1, keepdim=True)], dim=1)
    raise BadInputError(f"images with {found} channels do not fit a network for {channels}")


def _covering(pixels: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """Resize images (n, c, H, W) until they just cover `size`, then crop the centre."""
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
