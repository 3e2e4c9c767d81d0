"""Image files of any common kind as uint8 arrays."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.image_kinds import NEEDED, head_kind
from transfergrid.errors import BadInputError

if TYPE_CHECKING:
    from PIL import Image

SOUND = "sound"
"""The verdict on a file that decodes completely."""
NO_IMAGE = "not an image"

_GREY = frozenset({"1", "L", "LA", "La", "I", "F"})


def read_image(file: Path) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, C), C = 1 for grey images and 3 for all others.

    The camera's orientation is applied; transparent parts become white; 16-bit greys are scaled
    by their whole range, so that one file's brightness does not depend on its own contents; of an
    animation the first frame is taken.

    Raises:
        BadInputError: the file is no image that can be decoded completely.
    """
    return decode(file, str(file))


def decode(source: Path | BinaryIO, name: str) -> NDArray[np.uint8]:
    """Do what `read_image` does, from a file or from bytes; errors call them by this name."""
    from PIL import Image, ImageOps

    know_heic()
    try:
        with warnings.catch_warnings(), Image.open(source) as image:
            warnings.simplefilter("ignore")  # odd metadata, and sizes that are merely large
            image.load()
            return as_array(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise BadInputError(f"broken image {name}: {_reason(error)}") from error


@cache
def know_heic() -> str:
    """Teach Pillow to read HEIC, where pillow-heif is there; return its version, or ""."""
    try:
        import pillow_heif
    except ImportError:
        return ""
    pillow_heif.register_heif_opener()
    return str(pillow_heif.__version__)


def verdict(file: Path) -> str:
    """Return `SOUND`, or why this file does not decode.

    Raises:
        OSError: the system could not hand over the file, which says nothing about the image.
    """
    try:
        read_image(file)
    except BadInputError as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno is not None:
            raise cause from None
        reason = _reason(cause)
        kind = head_kind(file) if reason == NO_IMAGE else ""
        return f"{kind}: {NEEDED[kind]}" if kind in NEEDED else reason
    return SOUND


def verdict_kind() -> str:
    """Name what `verdict` depends on beside the file: what this Pillow decodes."""
    import PIL

    heic = know_heic()
    return f"image/1/{PIL.__version__}" + (f"/{heic}" if heic else "")


def _reason(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return NO_IMAGE if line.startswith("cannot identify") else line


def as_array(image: Image.Image) -> NDArray[np.uint8]:
    """Return a decoded image of any mode as (H, W, C); see `read_image`."""
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return _deep_grey(np.asarray(image))
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


def _deep_grey(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Bring greys of more than 8 bits (H, W) to 0 to 255: integers from 16 bits, floats from 1."""
    grey = np.nan_to_num(values.astype(np.float64))
    if np.issubdtype(values.dtype, np.integer):
        return np.clip(np.rint(grey / 257), 0, 255).astype(np.uint8)[:, :, None]
    top = 255.0 if grey.max(initial=0) <= 1 else 1.0
    return np.clip(np.rint(grey * top), 0, 255).astype(np.uint8)[:, :, None]
