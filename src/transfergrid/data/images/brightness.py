"""Which pixel values are black and white in images of more than 8 bits, or of real numbers.

Such pixels are scaled to 0 to 255. A wrong guess of white leaves only a few grey levels, or one. So
white is guessed only if the kind and the largest of the numbers make it clear; then the number of
remaining grey levels is checked too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.errors import BadInputError

BRIGHTEST = 255
DIM = 64
"""8-bit images with all values below this use at most a quarter of the levels: white may differ."""
DEEPEST = 65535
WIDEST = 1e30
"""Largest absolute value of black and white, so that single precision suffices."""
NEARLY = 1e-6
"""Tolerance for rounding, as a share of the range: values may exceed it by so much."""
COUNTED = 256
"""Distinct values are counted up to this number, the number of grey levels."""
LOOKED_AT = 1 << 20
"""About how many pixels of an array are used to count distinct values."""
LEFT_OF_GUESSED = 8
"""If white is guessed, at least one grey level per this many distinct values must remain."""
LEFT_OF_SAID = 16
"""The same if white is given by the user."""

INTEGERS, FLOATS, BYTES, SIXTEEN = "whole numbers", "real numbers", "8 bits", "16 bits"
COLOURS = "colours of 16 bits"
"""Of these Pillow reads only the upper 8 bits."""
FIXED = "a known range"
"""Images of a format that states its range, which Pillow has scaled to 16 bits."""

ONE_SCALE = "bring them to one scale, such as 0 to 255"

Array = NDArray[Any]


@dataclass(frozen=True)
class Scale:
    """Which values are black and white.

    Attributes:
        darkest: the value of black.
        brightest: the value of white; None to guess it from the kind of the images.
        floats: white of real numbers if it is guessed; None chooses 1 or 255 by each image's
            largest value.
    """

    darkest: float = 0.0
    brightest: float | None = None
    floats: float | None = None

    @property
    def spelled(self) -> str:
        """Both values as text; empty unless they are given."""
        return "" if self.brightest is None else f"{self.darkest!r}-{self.brightest!r}"

    def of(self, values: Array) -> tuple[float, float]:
        """Return the values of black and white for one image."""
        if self.brightest is not None:
            return self.darkest, self.brightest
        if values.dtype.kind != "f":
            return 0.0, float(DEEPEST)
        return 0.0, self.floats or (1.0 if values.max(initial=0) <= 1 else float(BRIGHTEST))


PLAIN = Scale()


def scale_of(darkest: object, brightest: object) -> Scale:
    """Return the scale that a user gave; `PLAIN` for None and None.

    Raises:
        BadInputError: these are no numbers, or white is not above black.
    """
    if darkest is None and brightest is None:
        return PLAIN
    if brightest is None:
        raise BadInputError("target.darkest is black: say what is white too, as target.brightest")
    darkest = 0.0 if darkest is None else darkest
    values: dict[str, Any] = {"darkest": darkest, "brightest": brightest}
    for name, value in values.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or value != value:
            raise BadInputError(f"target.{name} must be a number, not {value!r}")
        if abs(value) > WIDEST:
            raise BadInputError(f"target.{name} must lie within {WIDEST:g}")
    black, white = (float(value) for value in values.values())
    if white <= black:
        raise BadInputError(f"target.brightest={white:g} must lie above the darkest, {black:g}")
    if white - black < 1 / WIDEST:
        told = f"lie {1 / WIDEST:g} above the darkest, {black:g}, at least"
        raise BadInputError(f"target.brightest={white:g} must {told}")
    return Scale(black, white)


def to_grey(
    values: Array, black: float, white: float, kind: type = np.float64
) -> NDArray[np.uint8]:
    """Scale values linearly so that black is 0 and white 255; clip the rest, and map NaN to 0.

    Args:
        values: of any shape.
        black: becomes 0.
        white: becomes 255.
        kind: the floating-point type of the calculation.
    """
    width = white - black
    with np.errstate(over="ignore", invalid="ignore"):  # overflowing values are clipped below
        grey = np.nan_to_num(values.astype(kind) - kind(black), posinf=np.inf, neginf=-np.inf)
    grey = grey * kind(BRIGHTEST / width) if width <= BRIGHTEST else grey / kind(width / BRIGHTEST)
    levels: NDArray[np.uint8] = np.clip(np.rint(grey), 0, BRIGHTEST).astype(np.uint8)
    return levels


@dataclass(frozen=True)
class Depth:
    """Statistics of the pixel values of an image, or of an array of images.

    Attributes:
        kind: the kind of numbers, such as `INTEGERS` or `FLOATS`.
        low: the smallest value; NaN if any value is NaN.
        high: the largest value; NaN only if all are NaN.
        middle: the median.
        before: number of distinct values, up to `COUNTED`.
        after: number of distinct grey levels after scaling.
    """

    kind: str
    low: float
    high: float
    middle: float
    before: int
    after: int

    @classmethod
    def of(cls, kind: str, values: Array) -> Depth:
        """Return the statistics of an image before `to_grey`."""
        few = _few(values)
        before = min(COUNTED, len(np.unique(few)))
        with np.errstate(over="ignore"):  # the median may add two large values
            low, middle = float(values.min()), float(np.median(few))
        high = float(np.fmax.reduce(values, axis=None))
        return cls(kind, low, high, middle, before, COUNTED)

    def became(self, grey: NDArray[np.uint8]) -> Depth:
        """Return the same statistics with `after` counted in the scaled image."""
        return replace(self, after=len(np.unique(_few(grey))))

    def text(self) -> str:
        """Serialise the statistics to text."""
        return json.dumps(astuple(self))

    @classmethod
    def read(cls, text: str) -> Depth:
        """Parse the output of `text`."""
        kind, low, high, middle, before, after = json.loads(text)
        return cls(str(kind), float(low), float(high), float(middle), int(before), int(after))


def _few(values: Array) -> Array:
    return values.reshape(-1)[:: max(1, values.size // LOOKED_AT)]


def _together(depths: Sequence[Depth]) -> Depth:
    """Return the joint statistics of several images; counts of values are summed over images."""
    return Depth(
        " and ".join(dict.fromkeys(depth.kind for depth in depths)),
        float(np.min([depth.low for depth in depths])),
        float(np.max([depth.high for depth in depths])),
        float(np.median([depth.middle for depth in depths])),
        sum(depth.before for depth in depths),
        sum(depth.after for depth in depths),
    )


def check_files(spelled: str, parts: Mapping[str, Sequence[Depth]], scale: Scale) -> None:
    """Raise unless it is clear which value is white in images from files.

    Args:
        spelled: name of the dataset in errors.
        parts: by name of the split, the depths of its images that have more than 8 bits.
        scale: as given by the user.

    Raises:
        BadInputError: it is not clear; or white is given although all images have 8 bits.
    """
    if scale.brightest is not None and not any(parts.values()):
        raise BadInputError(
            f"{spelled} has images of 8 bits, in which white is 255: leave out target.brightest"
        )
    for kind in sorted({depth.kind for depths in parts.values() for depth in depths}):
        of_kind = {
            name: [depth for depth in depths if depth.kind == kind]
            for name, depths in parts.items()
        }
        try:
            _check_kind(kind, {name: found for name, found in of_kind.items() if found}, scale)
        except BadInputError as error:
            raise BadInputError(f"{spelled}: {error}") from error


def _check_kind(kind: str, parts: Mapping[str, Sequence[Depth]], scale: Scale) -> None:
    every = [depth for depths in parts.values() for depth in depths]
    whole = _together(every)
    if kind == COLOURS and whole.high <= BRIGHTEST / 2:
        raise BadInputError(
            f"{len(every)} images in colours of 16 bits reach {whole.high:g} of 255 at most, and "
            "only their upper 8 bits can be read: save them with 8 bits a colour"
        )
    if scale.brightest is None and kind not in (COLOURS, FIXED):
        white = _white_of_files(kind, whole)
        scales = {depth.high <= 1 for depth in every} if kind == FLOATS else set()
        if white is None or len(scales) > 1:
            raise BadInputError(
                f"{len(every)} images of {kind} lie in {_span(whole)}, which does not say what is "
                f"white: {_way_out(whole)}"
            )
    if kind != COLOURS:
        for name, depths in parts.items():
            _check_levels(f"images of {kind} in {name}", _together(depths), scale, len(depths))


def _white_of_files(kind: str, whole: Depth) -> float | None:
    if not whole.low >= 0:  # this form also rejects NaN
        return None
    if kind == FLOATS:
        return _white_of_floats(whole.high)
    clear = kind in (SIXTEEN, INTEGERS) and DEEPEST / 2 < whole.high <= DEEPEST
    return DEEPEST if clear else None


def _white_of_floats(high: float) -> float | None:
    for white in (1, BRIGHTEST):
        if white / 2 <= high <= white * (1 + NEARLY):
            return white
    return None


def white_of_arrays(parts: Mapping[str, Depth]) -> float:
    """Return the value of white in arrays of images, which must be on one scale.

    Raises:
        BadInputError: it is not clear from the arrays' numbers.
    """
    white = _white_of_arrays(list(parts.values()))
    if white is not None:
        return white
    for name, depth in parts.items():
        if _white_of_arrays([depth]) is None:
            raise BadInputError(
                f"{name} ({depth.kind}) must lie in 0 to 255 or 0 to 1 to say what is white, not "
                f"in {_span(depth)}: {_way_out(depth)}"
            )
    found = ", ".join(f"{name} lies in {_span(depth)}" for name, depth in parts.items())
    raise BadInputError(f"{found}: {ONE_SCALE}")


def _white_of_arrays(depths: Sequence[Depth]) -> float | None:
    whole, kinds = _together(depths), {depth.kind for depth in depths}
    if not whole.low >= -NEARLY * max(whole.high, 0):
        return None
    if whole.high <= 1 + NEARLY:
        return _white_of_floats(whole.high) if FLOATS in kinds else 1
    if whole.high <= BRIGHTEST * (1 + NEARLY):
        return BRIGHTEST if BYTES in kinds else _white_of_floats(whole.high)
    return DEEPEST if kinds == {SIXTEEN} and whole.high > DEEPEST / 2 else None


def check_arrays(parts: Mapping[str, Depth], scale: Scale, white: float) -> None:
    """Raise unless arrays of images, read with this white, are on one scale.

    Raises:
        BadInputError: one is in 0 to 1 and others are not, or too few grey levels remain in one.
    """
    for name, depth in parts.items():
        guessed = scale.brightest is None and depth.kind != BYTES
        if guessed and depth.high <= 1 < white and depth.before > 1:
            others = f"others in 0 to {white:g}"
            raise BadInputError(f"{name} lies in {_span(depth)}, {others}: {ONE_SCALE}")
        _check_levels(name, depth, scale, 1)


def _check_levels(name: str, depth: Depth, scale: Scale, n_images: int) -> None:
    said = scale.brightest is not None
    if scale.brightest is not None and depth.middle > scale.brightest:
        raise BadInputError(
            f"half of {name} lies above target.brightest={scale.brightest:g}, in {_span(depth)}: "
            "say what is white there"
        )
    if depth.after * (LEFT_OF_SAID if said else LEFT_OF_GUESSED) >= depth.before:
        return
    left = f"{depth.after / n_images:.0f} grey levels of {depth.before / n_images:.0f} values"
    asked = f"with target.brightest={scale.brightest:g} " if said else ""
    raise BadInputError(
        f"{asked}{name}, in {_span(depth)}, would keep {left}: say what is white by "
        "target.brightest"
    )


def _way_out(found: Depth) -> str:
    black = f"target.darkest={found.low:g} " if found.low < 0 else ""
    return f"say it, as in {black}target.brightest={_likely(found)}"


def _span(depth: Depth) -> str:
    if np.isnan(depth.low):
        return f"NaN, which would be black, and numbers up to {depth.high:g}"
    return f"{depth.low:g} to {depth.high:g}"


def _likely(found: Depth) -> str:
    """Return a value of white to suggest: the largest number of a suitable bit depth."""
    if not np.isfinite(found.high):
        return "255"
    if 0.5 <= found.high <= 1.5 and not found.low < 0:  # this form also accepts NaN
        return "1"
    bits = next((n for n in (8, 10, 12, 14, 16) if found.high <= 2**n), None)
    if bits is None or found.low < 0 or found.high < BRIGHTEST / 2:
        return f"{found.high:g}"
    return f"{2**bits - 1} ({bits} bits)"
