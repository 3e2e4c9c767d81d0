"""Measuring what an image processor of transformers does to pixel values.

A processor's file omits the defaults of its class, and classes have many names for the same
setting: `do_flip_channel_order`, `rescale_offset`, `do_normalize`, ... So the folder's processor is
built and applied to a black, a white and a noise image. Its outputs must be explained by what this
program can do: order the channels, and scale and shift each of them. Otherwise it is refused.
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
"""By number of Pillow's resampling method; similar ones replace Lanczos, box and Hamming."""
TOLERANCE = 1e-5
"""Largest difference that is ignored, as a share of the largest value."""
COLOURS = 3
PROBE = 224
"""Height and width in pixels of the test images; a multiple of many patch sizes."""


@dataclass(frozen=True)
class Reading:
    """The preprocessing of a model's inputs.

    Attributes:
        size: height and width in pixels; None if not stated.
        mean: subtracted, one number per channel of the network, on a scale of 0 to 1.
        std: the divisor after that, likewise.
        bgr: whether the order of the channels is reversed first.
        interpolation: a name that torch knows.
    """

    size: Size | None
    mean: Values
    std: Values
    bgr: bool
    interpolation: str


def read(folder: Path, channels: int, name: str) -> Reading:
    """Return the preprocessing of a folder's image processor.

    Args:
        folder: contains preprocessor_config.json, or processor_config.json with an image processor.
        channels: of the network's inputs.
        name: of the model, for messages.

    Raises:
        BadInputError: the processor cannot be built, or does something that is not supported.
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
    """Return height and width from any of their notations; a single number means a square.

    None if the value is no size.
    """
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
    """Return an entry of a dict, or an attribute of the object that newer versions use instead."""
    return value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)


def _is_side(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and value > 0


def _made(told: Mapping[str, Any], folder: Path, name: str) -> Any:
    """Return transformers' image processor for a folder.

    It is built from copies of the config files in an empty folder, so that it sees nothing else.
    """
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
        except Exception as error:  # wrong values may raise anything
            kind = told.get("image_processor_type", told.get("feature_extractor_type"))
            reason = first_line(error).replace(place, str(folder))[:150]
            raise _beyond(name, f"{kind or 'it'} cannot be made: {reason}") from error


def _beyond(name: str, reason: str) -> BadInputError:
    return BadInputError(
        f"{name}: how its images are made inputs cannot be followed ({reason}); if a size, a mean "
        f"and a spread of red, green and blue say it all, give them: {WAY_OUT} source.size=224"
    )


WAY_OUT = "'source.architecture.mean=[0.5]' 'source.architecture.std=[0.5]'"
"""For the message: how the user can give mean and std."""


def _size(processor: Any) -> Size | None:
    """Return the size of a processor's outputs, if it states one."""
    cropped = getattr(processor, "crop_size", None) if _does(processor, "center_crop") else None
    return pair_of(cropped) or pair_of(getattr(processor, "size", None))


def _does(processor: Any, what: str) -> bool:
    return bool(getattr(processor, f"do_{what}", False))


def _way(told: Mapping[str, Any], processor: Any) -> str:
    """Return the interpolation for resizing."""
    asked = getattr(processor, "resample", told.get("resample"))
    asked = getattr(asked, "value", asked)  # an enum, of numbers or of names
    if isinstance(asked, str):
        return asked if asked in RESAMPLING.values() else "bicubic"
    return RESAMPLING.get(2 if asked is None else asked, "bicubic")


@dataclass(frozen=True)
class _Shown:
    """A noise image, and a processor's outputs for noise, black and white: (C, H, W) each."""

    noise: Tensor
    of_noise: Tensor
    of_black: Tensor
    of_white: Tensor


def _shown(processor: Any, channels: int) -> _Shown | None:
    """Apply a processor to test images with the network's number of channels, or else three.

    None if it takes neither.
    """
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
    """Return the output (C, H, W) for an image (H, W, C), without resizing or cropping.

    None if the processor fails, or its output has another shape.
    """
    still = {"do_resize": False, "do_center_crop": False, "do_pad": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some classes warn that they ignore these
            made = processor(
                picture, return_tensors="pt", input_data_format="channels_last", **still
            )["pixel_values"]
    except Exception:  # it may need pairs, boxes, another number of channels, ...
        return None
    height, width, channels = picture.shape
    fits = isinstance(made, Tensor) and made.shape == (1, channels, height, width)
    return made[0].float() if fits else None


def _measured(processor: Any, shown: _Shown) -> tuple[Values, Values]:
    """Return mean and std on a scale of 0 to 1.

    If the processor's own numbers agree with the measured ones, they are returned, because they
    have no measurement error.
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
    """Return a processor's own numbers, one per channel; NaN if it has none."""
    value = getattr(processor, key, None)
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    numbers = [float(v) / scale for v in values if isinstance(v, (int, float))]
    if len(numbers) < len(values) or not numbers:
        return (float("nan"),) * count
    return for_channels(numbers, count)


def _is_explained(shown: _Shown, mean: Values, std: Values, bgr: bool) -> bool:
    """Return whether order, mean and std reproduce the processor's output for noise."""
    pixels = shown.noise.flip(0) if bgr else shown.noise
    m, s = (pixels.new_tensor(values).view(-1, 1, 1) for values in (mean, std))
    expected = (pixels - m) / s
    return bool((expected - shown.of_noise).abs().max() <= TOLERANCE * expected.abs().max())
