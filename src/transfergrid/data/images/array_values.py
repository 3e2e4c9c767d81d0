"""Converting arrays, in the forms in which people save them, to uint8 images and class indices.

Errors name the array ("y_train"); the caller adds the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.class_names import check_different
from transfergrid.data.images.brightness import (
    BRIGHTEST,
    BYTES,
    FLOATS,
    INTEGERS,
    PLAIN,
    SIXTEEN,
    Depth,
    Scale,
    check_arrays,
    to_grey,
    white_of_arrays,
)
from transfergrid.data.numbers import ADVICE, OF_NUMBERS
from transfergrid.data.tables.table_labels import as_text, check_no_numbers
from transfergrid.records.errors import BadInputError

Array = NDArray[Any]

USUAL = (1, 3)
"""An axis of one of these lengths holds the channels; the last axis is tried first."""
EXACT = 2**53
"""Up to this size float64 represents every whole number."""
ROWS_BYTES = 64 * 2**20
"""How many bytes of pixels are scaled at once."""


def as_images(arrays: Mapping[str, Array], scale: Scale = PLAIN) -> dict[str, NDArray[np.uint8]]:
    """Return each array of images as (n, H, W, C) with values from 0 to 255.

    All arrays are scaled alike: 1 is white only if no array has values above 1. The full range of
    16 bits is used for 16-bit arrays, if their values reach its upper half.

    Raises:
        BadInputError: an array has a wrong shape, kind or range, or the images' shapes differ, or
            it is not clear which value is white and `scale` does not say it.
    """
    shaped = {key: _channels_last(key, array) for key, array in arrays.items()}
    _check_one_shape(shaped)
    kinds = {key: _kind(key, array) for key, array in shaped.items()}
    depths = {key: Depth.of(kinds[key], array) for key, array in shaped.items()}
    white = white_of_arrays(depths) if scale.brightest is None else scale.brightest
    images = {key: _scaled(array, scale.darkest, white) for key, array in shaped.items()}
    check_arrays({key: depths[key].became(images[key]) for key in depths}, scale, white)
    return images


def _channels_last(key: str, array: Array) -> Array:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.size == 0:
        raise BadInputError(f"{key} must hold images (n, H, W) or (n, H, W, C), not {array.shape}")
    if _channel_axis(key, array.shape) == 1:
        array = np.moveaxis(array, 1, 3)
    return array


def _channel_axis(key: str, shape: tuple[int, ...]) -> int:
    """Return the axis of (n, a, b, c) that holds the channels: 3, or 1 for channels first.

    An axis of length 1 or 3 holds the channels. Otherwise it is the axis that is shorter than the
    two others, or the one whose removal leaves a square.

    Raises:
        BadInputError: both axes fit, or neither.
    """
    _, first, middle, last = shape
    if last in USUAL or first in USUAL:
        return 3 if last in USUAL else 1
    few = {3: last < min(first, middle), 1: first < min(middle, last)}
    square = {3: first == middle, 1: middle == last}
    for holds in (few, square):
        if holds[3] != holds[1]:
            return 3 if holds[3] else 1
    told = "the channels must come first or last, and be fewer than rows and columns"
    raise BadInputError(f"cannot tell the channels of {key}, of shape {shape}: {told}")


def _check_one_shape(arrays: Mapping[str, Array]) -> None:
    (first, like), *others = arrays.items()
    for key, array in others:
        if array.shape[1:] != like.shape[1:]:
            raise BadInputError(
                f"{key} has images of shape {array.shape[1:]}, but {first} of {like.shape[1:]}"
            )


def _kind(key: str, array: Array) -> str:
    kinds = {"b": BYTES, "u": INTEGERS, "i": INTEGERS, "f": FLOATS}
    if array.dtype.kind not in kinds:
        raise BadInputError(f"{key} must hold numbers, not {array.dtype}")
    sizes: dict[Any, str] = {np.dtype(np.uint8): BYTES, np.dtype(np.uint16): SIXTEEN}
    return sizes.get(array.dtype, kinds[array.dtype.kind])


def _scaled(array: Array, black: float, white: float) -> NDArray[np.uint8]:
    if array.dtype == np.uint8 and (black, white) == (0, BRIGHTEST):
        return np.ascontiguousarray(array)
    images = np.empty(array.shape, dtype=np.uint8)
    rows = max(1, ROWS_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):  # float32 is exact enough here
        part = slice(start, start + rows)
        images[part] = to_grey(array[part], black, white, np.float32)
    return images


def as_labels(key: str, array: Array) -> Array:
    """Return labels (n,) as whole numbers or as text.

    Raises:
        BadInputError: they are neither, or their shape is not (n,) or (n, 1).
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise BadInputError(f"{key} must hold one label per image, but its shape is {array.shape}")
    if not len(array):
        raise BadInputError(f"{key} holds no labels")
    if array.dtype.kind == "f":
        return _whole(key, array)
    if array.dtype.kind in "iub":
        _check_bits(key, array)
        return array.astype(np.int64)
    if array.dtype.kind in "US":
        return _decoded(key, array) if array.dtype.kind == "S" else array
    raise BadInputError(f"{key} must hold whole numbers or text, not {array.dtype}")


def as_numbers(key: str, array: Array) -> NDArray[np.float32]:
    """Return labels that are numbers, (n,) or (n, outputs).

    Raises:
        BadInputError: they are no numbers, or one is not finite or too large for float32.
    """
    if array.ndim not in (1, 2) or array.size == 0:
        told = "must hold a number for each image, or a row of them"
        raise BadInputError(f"{key} {told}, but its shape is {array.shape}")
    if array.dtype.kind not in "fiu":  # true and false are classes, as they are in a table
        raise BadInputError(f"{key} must hold numbers, not {array.dtype}; {ADVICE}")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=tuple(range(1, array.ndim))))
    if len(wrong):
        raise BadInputError(
            f"{key}[{wrong[0]}] is {array[wrong[0]]}, no finite number that float32 holds"
            + (f"; so are {len(wrong) - 1} more" if len(wrong) > 1 else "")
        )
    return numbers[:, 0] if array.ndim == 2 and array.shape[1] == 1 else numbers


def _whole(key: str, array: Array) -> NDArray[np.int64]:
    """Return the whole numbers in an array of floats; raise unless all are whole and exact."""
    with np.errstate(over="ignore"):  # of floats longer than 64 bits
        exact = (array == np.rint(array)) & (np.abs(array.astype(np.float64)) <= EXACT)
    if not exact.all():
        what = f"not {array.dtype}: {array[~exact][0]}"
        way = f"of numbers to predict give target.metric={OF_NUMBERS}"
        raise BadInputError(f"{key} must hold whole numbers or text, {what}; {way}")
    return array.astype(np.int64)


def _decoded(key: str, array: Array) -> Array:
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{key} has text that is no UTF-8: {error.object!r}") from error


def _check_bits(key: str, array: Array) -> None:
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise BadInputError(f"{key} has labels of 64 bits without a sign, such as {array.max()}")


def class_names(pool: Mapping[str, Array], given: Array | None) -> tuple[tuple[str, ...], Array]:
    """Return the classes' names in order, and the label values (n_classes,) of these classes.

    Args:
        pool: labels of the pool's parts, from `as_labels`.
        given: the archive's `class_names`, if any.

    Raises:
        BadInputError: names and labels do not match, or there is only one class.
    """
    if len({labels.dtype.kind for labels in pool.values()}) > 1:
        raise BadInputError(f"{' and '.join(pool)} must both hold numbers or both text")
    values = np.unique(np.concatenate(list(pool.values())))
    if len(values) < 2:
        raise BadInputError(f"{' and '.join(pool)} have only one class: {values[0]}")
    if given is None:
        names = tuple(str(value) for value in values)
        _check_told(pool)
        check_different(names, "write each in one way, or list them in class_names")
        return names, values
    listed = as_labels("class_names", given).astype(str)
    if len(set(listed)) < len(listed):
        raise BadInputError("class_names has the same name twice")
    names = tuple(str(name) for name in listed)
    if values.dtype.kind == "U":
        return names, listed
    check_no_numbers(names)
    return names, np.arange(len(names))


def _check_told(pool: Mapping[str, Array]) -> None:
    """Raise `BadInputError` if a label is a text that stands for a missing value."""
    for key, labels in pool.items():
        empty = [str(label) for label in labels if as_text(str(label)) is None]
        if empty and labels.dtype.kind == "U":
            raise BadInputError(f"{key} has {empty[0]!r} {len(empty)} times, which is no label")


def as_indices(key: str, labels: Array, values: Array) -> NDArray[np.int64]:
    """Return the index in `values` (n_classes,) of each label (n,).

    Raises:
        BadInputError: a label is not among `values`.
    """
    if labels.dtype.kind != values.dtype.kind:
        raise BadInputError(f"{key} must hold {'text' if values.dtype.kind == 'U' else 'numbers'}")
    unknown = np.setdiff1d(labels, values)
    if len(unknown):
        shown = ", ".join(str(value) for value in unknown[:3])
        raise BadInputError(f"{key} has labels that are no class: {shown}")
    order = np.argsort(values)
    return order[np.searchsorted(values, labels, sorter=order)].astype(np.int64)
