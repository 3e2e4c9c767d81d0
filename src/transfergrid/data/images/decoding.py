"""Decoding image files of all common kinds to uint8 arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.images.brightness import (
    COLOURS,
    FIXED,
    FLOATS,
    INTEGERS,
    PLAIN,
    SIXTEEN,
    Depth,
    Scale,
    to_grey,
)
from transfergrid.data.images.image_kinds import NEEDED, head_kind
from transfergrid.records.errors import BadInputError, first_line

if TYPE_CHECKING:
    from PIL import Image

SOUND = "sound"
"""The verdict on a file that decodes completely."""
NO_IMAGE = "not an image"

BITS_TAG = 258
"""The TIFF tag BitsPerSample."""
SCALED = frozenset({"PPM", "JPEG2000"})
"""Formats that state their bit depth, so that Pillow scales greys to the full range of 16 bits."""

T = TypeVar("T")

_GREY = frozenset({"1", "L", "LA", "La", "I", "F"})


def read_image(file: Path, scale: Scale = PLAIN) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, C), C = 1 for grey images and 3 for all others.

    The camera's orientation is applied. Transparent parts become white. 16-bit greys are scaled
    from the full range of 16 bits, so that a file's brightness does not depend on its contents, or
    from the given black and white. Of an animation the first frame is taken.

    Raises:
        BadInputError: the file is no image that can be decoded completely.
    """
    return decode(file, str(file), scale)


def decode(source: Path | BinaryIO, name: str, scale: Scale = PLAIN) -> NDArray[np.uint8]:
    """Decode an image like `read_image`, from a file or from bytes; `name` is for errors."""
    return _decoded(source, name, lambda image, raw_mode: as_array(image, scale))


def depth_of(source: Path | BinaryIO, name: str, scale: Scale = PLAIN) -> Depth | None:
    """Decode an image and return its depth; None if it has at most 8 bits per channel.

    Raises:
        BadInputError: see `read_image`.
    """

    def look(image: Image.Image, raw_mode: str) -> Depth | None:
        grey, kind = as_array(image, scale), _deep_kind(image, raw_mode)
        values = np.asarray(image) if is_deep(image) else grey
        return Depth.of(kind, values).became(grey) if kind else None

    return _decoded(source, name, look)


def may_be_deep(source: Path | BinaryIO) -> bool:
    """Return whether an image has more than 8 bits, judged by its header without decoding."""
    from PIL import Image

    try:
        with Image.open(source) as image:
            return bool(_deep_kind(image, _raw_mode(image)))
    except Exception:  # decoding it will report the error
        return False


def _decoded(source: Path | BinaryIO, name: str, use: Callable[[Image.Image, str], T]) -> T:
    """Return `use(image, raw_mode)` for the decoded image; see `_raw_mode`."""
    from PIL import Image, ImageOps

    know_heic()
    try:
        with warnings.catch_warnings(), Image.open(source) as image:
            warnings.simplefilter("ignore")  # odd metadata, and sizes that are merely large
            raw_mode = _raw_mode(image)
            image.load()
            turned = ImageOps.exif_transpose(image)
            turned.format = image.format
            return use(turned, raw_mode)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise BadInputError(f"broken image {name}: {_reason(error)}") from error


def _raw_mode(image: Image.Image) -> str:
    """Return the pixel format of an opened file, such as "RGB;16B"; unknown after decoding.

    For a TIFF whose header names other than 16 bits, these follow, such as "I;16 12".
    """
    told = [
        str(tile[3] if isinstance(tile[3], str) else tile[3][:1])
        for tile in getattr(image, "tile", ())[:1]
    ]
    bits = getattr(image, "tag_v2", {}).get(BITS_TAG, (16,))[0]
    return "".join(told) + (f" {bits}" if bits != 16 else "")


@cache
def know_heic() -> str:
    """Register HEIC in Pillow if pillow-heif is installed; return its version, or ""."""
    try:
        import pillow_heif
    except ImportError:
        return ""
    pillow_heif.register_heif_opener()
    return str(pillow_heif.__version__)


def verdict(file: Path, scale: Scale = PLAIN) -> str:
    """Return `SOUND`, with the image's `Depth` if it has more than 8 bits, or why it is broken.

    Raises:
        OSError: the system could not read the file, so nothing is known about the image.
    """
    try:
        depth = depth_of(file, str(file), scale)
    except BadInputError as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno is not None:
            raise cause from None
        reason = _reason(cause)
        kind = head_kind(file) if reason == NO_IMAGE else ""
        return f"{kind}: {NEEDED[kind]}" if kind in NEEDED else reason
    return SOUND if depth is None else f"{SOUND} {depth.text()}"


def verdict_kind(scale: Scale = PLAIN) -> str:
    """Return the cache key of `verdict`, without the file: versions of decoders, and the scale."""
    import PIL

    heic = know_heic()
    told = [part for part in (heic, scale.spelled) if part]
    return "/".join(["image/2", PIL.__version__, *told])


def _reason(error: BaseException) -> str:
    line = first_line(error)
    return NO_IMAGE if line.startswith("cannot identify") else line


def is_deep(image: Image.Image) -> bool:
    """Return whether a decoded image has greys of more than 8 bits."""
    return image.mode.startswith("I;16") or image.mode in {"I", "F"}


def _deep_kind(image: Image.Image, raw_mode: str) -> str:
    """Return the kind of an image's pixel values if they have more than 8 bits, else ""."""
    if not is_deep(image):
        return COLOURS if ";16" in raw_mode else ""
    if image.format in SCALED and image.mode != "F":
        return FIXED
    if image.mode in {"I", "F"}:
        return INTEGERS if image.mode == "I" else FLOATS
    return f"{raw_mode.split()[-1]} bits" if " " in raw_mode else SIXTEEN


def as_array(image: Image.Image, scale: Scale = PLAIN) -> NDArray[np.uint8]:
    """Return a decoded image of any mode as (H, W, C); see `read_image`."""
    if is_deep(image):
        values = np.asarray(image)
        return to_grey(values, *scale.of(values))[:, :, None]
    if "transparency" in image.info or image.mode in {"LA", "La", "PA", "RGBA", "RGBa"}:
        return _on_white(image)
    return _channels(image, "L" if image.mode in _GREY else "RGB")


def _channels(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    array = np.asarray(image.convert(mode))
    return array[:, :, None] if array.ndim == 2 else array


def _on_white(image: Image.Image) -> NDArray[np.uint8]:
    from PIL import Image

    colours = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return _channels(Image.alpha_composite(white, colours), "L" if image.mode in _GREY else "RGB")
