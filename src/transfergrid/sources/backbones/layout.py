"""The order in memory in which images and what is made of them are quickest: no value changes."""

from __future__ import annotations

import torch
from torch import Tensor

from transfergrid.data.inputs import Inputs


def quickest(images: Inputs) -> Inputs:
    """Return images, or maps of them, laid out as a network on their device is quickest with.

    On a CPU convolutions take and give channels last, see `experiments/speed`. A GPU takes what it
    is given: it would turn every weight at every step.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or images.device.type != "cpu":
        return images
    return images.to(memory_format=torch.channels_last)


def is_channels_last(part: Tensor) -> bool:
    """Return whether a tensor lies channels last, and could not be said to lie otherwise."""
    is_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
    return is_last and not part.is_contiguous()
