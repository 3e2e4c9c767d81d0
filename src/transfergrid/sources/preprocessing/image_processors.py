"""What transformers' own image processor does to a picture's values: measured, not believed.

A processor's file leaves out what its class knows, and classes name the same thing in many ways:
`do_flip_channel_order`, `rescale_offset`, `do_normalize`, ... So the processor that belongs to a
folder is made, shown black, white and a picture of noise, and must turn out to do no more than
this program can: put the channels in order, and scale and shift each of them.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.records.errors import BadInputError, first_line
from transfergrid.sources.backbones.image_backbone import for_channels
from transfergrid.sources.files import model_folder

Size: TypeAlias = tuple[int, int]
Values: TypeAlias = tuple[float, ...]
RESAMPLING = {0: "nearest", 1: "bicubic", 2: "bilinear", 3: "bicubic", 4: "bilinear", 5: "bilinear"}
"""Numbers of Pillow's methods; Lanczos, box and Hamming are made by the nearest that torch has."""
TOLERANCE = 1e-5
"""Largest difference that counts as none, as a share of the largest value."""
COLOURS = 3
PROBE = 224
"""Side in pixels of the pictures that a processor is shown; many patches divide it."""


@dataclass(frozen=True)
class Reading:
    """What a folder says of its model's inputs.

    Attributes:
        size: height and width in pixels; None if it names none.
        mean: subtracted, one for each channel of the network, on a scale of 0 to 1.
        std: divided by, likewise.
        bgr: whether the channels' order is turned round first.
        interpolation: a name that torch knows.
    """

    size: Size | None
    mean: Values
    std: Values
    bgr: bool
    interpolation: str


def read(folder: Path, channels: int, name: str) -> Reading:
    """Return what a folder's image processor does.

    Args:
        folder: with a preprocessor_config.json, or a processor_config.json that holds one.
        channels: of the network's inputs.
        name: of the model, for messages.

    Raises:
        BadInputError: the processor cannot be made, or does what this program does not.
    """
    told = model_folder.read_preprocessor(folder)
    processor = _made(told, folder, name)
    shown = _shown(processor, channels)
    kind = type(processor).__name__
    if shown is None:
        raise _beyond(name, f"{kind} makes something else of a picture than its channels")
    mean, std = _measured(processor, shown)
    orders = [bgr for bgr in (False, True) if _is_explained(shown, mean, std, bgr)]
    if not orders:
        raise _beyond(name, f"{kind} does more to a picture than to order, scale and shift colours")
    mean, std = for_channels(mean, channels), for_channels(std, channels)
    return Reading(_size(processor), mean, std, orders[0], _way(told, processor))


def pair_of(value: Any) -> Size | None:
    """Return height and width, however they were written; of one number or edge a square."""
    if isinstance(value, (list, tuple)):
        sides = [side for side in value if _is_side(side)]
        return (sides[0], sides[-1]) if sides and len(sides) == len(value) <= 2 else None
    if _is_side(value):
        return (value, value)
    height, width, edge = (_entry(value, key) for key in ("height", "width", "shortest_edge"))
    if _is_side(height) and _is_side(width):
        return (height, width)
    return (edge, edge) if _is_side(edge) else None


def _entry(value: Any, key: str) -> Any:
    """Return an entry of a dict, or of what newer versions have in its place."""
    return value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)


def _is_side(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and value > 0


def _made(told: Mapping[str, Any], folder: Path, name: str) -> Any:
    """Return transformers' processor of what a folder says, which alone it is shown."""
    from transformers import AutoImageProcessor

    from transfergrid.sources.backbones.transformers_models import quiet

    files = {model_folder.CONFIG: model_folder.read(folder), model_folder.PREPROCESSOR: told}
    with tempfile.TemporaryDirectory() as place, quiet():
        for file, values in files.items():
            plain = {key: value for key, value in values.items() if key != "auto_map"}
            (Path(place) / file).write_text(json.dumps(plain), encoding="utf-8")
        try:
            return AutoImageProcessor.from_pretrained(
                place, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # a file's values may break anything in there
            kind = told.get("image_processor_type", told.get("feature_extractor_type"))
            reason = first_line(error).replace(place, str(folder))[:150]
            raise _beyond(name, f"{kind or 'it'} cannot be made: {reason}") from error


def _beyond(name: str, reason: str) -> BadInputError:
    return BadInputError(
        f"{name}: how its images are made inputs cannot be followed ({reason}); if a size, a mean "
        f"and a spread of red, green and blue say it all, give them: {WAY_OUT} source.size=224"
    )


WAY_OUT = "'source.architecture.mean=[0.5]' 'source.architecture.std=[0.5]'"
"""How a person says it himself."""


def _size(processor: Any) -> Size | None:
    """Return the size of what comes out, where a processor has one."""
    cropped = getattr(processor, "crop_size", None) if _does(processor, "center_crop") else None
    return pair_of(cropped) or pair_of(getattr(processor, "size", None))


def _does(processor: Any, what: str) -> bool:
    return bool(getattr(processor, f"do_{what}", False))


def _way(told: Mapping[str, Any], processor: Any) -> str:
    """Return how pictures are resized."""
    asked = getattr(processor, "resample", told.get("resample"))
    asked = getattr(asked, "value", asked)  # an enum, here of numbers and there of names
    if isinstance(asked, str):
        return asked if asked in RESAMPLING.values() else "bicubic"
    return RESAMPLING.get(2 if asked is None else asked, "bicubic")


@dataclass(frozen=True)
class _Shown:
    """What a processor made of a picture of noise, of black and of white: (C, H, W) each."""

    noise: Tensor
    of_noise: Tensor
    of_black: Tensor
    of_white: Tensor


def _shown(processor: Any, channels: int) -> _Shown | None:
    """Show a processor pictures of as many channels as a network has, or else colours."""
    for count in dict.fromkeys((channels, COLOURS)):
        noise = np.random.default_rng(0).integers(0, 256, (PROBE, PROBE, count)).astype(np.uint8)
        pictures = (noise, np.zeros_like(noise), np.full_like(noise, 255))
        made = [_values(processor, picture) for picture in pictures]
        if all(values is not None for values in made):
            of_noise, of_black, of_white = (v for v in made if v is not None)
            pixels = torch.from_numpy(noise).permute(2, 0, 1).float() / 255
            return _Shown(pixels, of_noise, of_black, of_white)
    return None


def _values(processor: Any, picture: NDArray[np.uint8]) -> Tensor | None:
    """Return (C, H, W) of a picture (H, W, C) that has its size already; None if it is no such."""
    still = {"do_resize": False, "do_center_crop": False, "do_pad": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some classes say that they do none of these
            made = processor(
                picture, return_tensors="pt", input_data_format="channels_last", **still
            )["pixel_values"]
    except Exception:  # it wants pairs, boxes, other numbers of channels, ...
        return None
    height, width, channels = picture.shape
    fits = isinstance(made, Tensor) and made.shape == (1, channels, height, width)
    return made[0].float() if fits else None


def _measured(processor: Any, shown: _Shown) -> tuple[Values, Values]:
    """Return mean and std on a scale of 0 to 1.

    Where a processor's own numbers say the same, it is they, without the noise of measuring.
    """
    low, high = (made.mean((1, 2)).double() for made in (shown.of_black, shown.of_white))
    found = [_rounded(values) for values in (-low / (high - low), 1 / (high - low))]
    rescaled = getattr(processor, "rescale_factor", None) or 1 / 255
    scale = 255 * float(rescaled) if _does(processor, "rescale") else 255.0
    own = [_numbers(processor, key, len(low), scale) for key in ("image_mean", "image_std")]
    for mean, std in (own, [(0.0,) * len(low), (1 / scale,) * len(low)]):
        if np.allclose([mean, std], found, rtol=TOLERANCE, atol=TOLERANCE):
            return mean, std
    return found[0], found[1]


def _rounded(values: Tensor) -> Values:
    return tuple(float(f"{value:.6g}") for value in values.tolist())


def _numbers(processor: Any, key: str, count: int, scale: float) -> Values:
    """Return a processor's own numbers, one for each channel; NaN where there are none."""
    value = getattr(processor, key, None)
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    numbers = [float(v) / scale for v in values if isinstance(v, (int, float))]
    if len(numbers) < len(values) or not numbers:
        return (float("nan"),) * count
    return for_channels(numbers, count)


def _is_explained(shown: _Shown, mean: Values, std: Values, bgr: bool) -> bool:
    """Tell whether order, mean and std make of noise what the processor made."""
    pixels = shown.noise.flip(0) if bgr else shown.noise
    m, s = (pixels.new_tensor(values).view(-1, 1, 1) for values in (mean, std))
    expected = (pixels - m) / s
    return bool((expected - shown.of_noise).abs().max() <= TOLERANCE * expected.abs().max())
