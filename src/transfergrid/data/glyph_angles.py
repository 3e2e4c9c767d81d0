"""Rotated printed characters: a generated image target for regression of the angle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Interval, doc

from transfergrid.data.drawn_numbers import DrawnNumbers
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.glyphs import (
    CANVAS,
    INK,
    OVERSAMPLE,
    check_characters,
    draw_large,
    fonts_with,
)
from transfergrid.records.seeds import generator

HEIGHT = (0.7, 0.95)
"""Range of the size of a glyph's longer side, as a share of the image's side."""

Angle = Annotated[float, Interval(gt=0, le=180), doc("an angle from 0 to 180")]


@dataclass(frozen=True, kw_only=True)
class GlyphAngles(DrawnNumbers):
    """Light printed characters on black, each rotated by an angle, which is the label.

    Angles are drawn uniformly and independently of the character; a positive angle turns to the
    left.

    Attributes:
        characters: the characters to draw, with equal probability.
        most: the largest angle to either side, in degrees.
        size: height and width in pixels.
    """

    characters: str = "2345679"
    most: Angle = 45.0
    size: Annotated[int, Ge(4)] = 16

    number: ClassVar[str] = "angle"

    def check(self) -> None:
        """See `Domain.check`."""
        super().check()
        check_characters(self.characters)
        fonts_with(self.characters)

    def _part(self, name: str, n: int) -> ArrayExamples:
        """Return images (n, size, size, 1) with angles (n,) in degrees."""
        from PIL import Image

        fonts, rng = fonts_with(self.characters), generator(self.seed, "glyph angles", name)
        glyphs = [draw_large(char, font) for font in fonts for char in self.characters]
        angles = rng.uniform(-self.most, self.most, n).astype(np.float32)
        images = np.empty((n, self.size, self.size, 1), dtype=np.uint8)
        side = self.size * OVERSAMPLE
        for image, angle in zip(images, angles, strict=True):
            glyph = glyphs[rng.integers(len(glyphs))]
            turned = glyph.rotate(float(angle), Image.Resampling.BILINEAR)
            half = INK / (2 * rng.uniform(*HEIGHT))
            box = CANVAS / 2 - half, CANVAS / 2 - half, CANVAS / 2 + half, CANVAS / 2 + half
            drawn = turned.resize((side, side), Image.Resampling.BILINEAR, box)
            image[:, :, 0] = np.asarray(drawn.reduce(OVERSAMPLE))
        return ArrayExamples(images, angles)
