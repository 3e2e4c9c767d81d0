"""The memory format in which networks are fastest with images and feature maps."""

from __future__ import annotations

import torch
from torch import Tensor

from transfergrid.data.inputs import Inputs


def quickest(images: Inputs) -> Inputs:
    """Return images, or feature maps, in the fastest memory format for their device.

    Values do not change. On a CPU that is channels last, which convolutions keep; see
    `experiments/speed`. On a GPU the format stays as it is: otherwise every step would convert
    every weight.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or images.device.type != "cpu":
        return images
    return images.to(memory_format=torch.channels_last)


def is_channels_last(part: Tensor) -> bool:
    """Return whether a tensor is channels-last, and not contiguous in the default format too."""
    is_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
    return is_last and not part.is_contiguous()
