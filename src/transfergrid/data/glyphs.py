"""Printed characters under random affine maps: a generated labelled domain without downloads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.glyph_attributes import are_described, attributes_of
from transfergrid.data.outline import Outline
from transfergrid.records.arguments import Count, Whole
from transfergrid.records.errors import BadInputError
from transfergrid.records.seeds import generator

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font
    from PIL import Image

FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)
"""Matplotlib's text fonts, by file name; its symbol and mathematics fonts are left out."""

CANVAS = 96
"""Side in pixels of the square canvas on which each glyph is drawn once."""
INK = 64
"""Longer side, in pixels, of a glyph's bounding box on that canvas."""
OVERSAMPLE = 4
"""Maps are applied at this multiple of the final size; then the image is averaged down."""

MAX_ROTATION = np.deg2rad(15)
MAX_SHEAR = 0.3
MAX_SHIFT = 0.06
"""As a share of the image's side."""
HEIGHT = (0.8, 1.05)
"""Range of a glyph's height, as a share of the image's side."""
ASPECT = (0.75, 1.15)
"""Range of the factor by which a glyph's width is changed, relative to its font."""
CONTRAST = (0.6, 1.0)
"""Range of the strokes' brightness; the background is black."""


@dataclass(frozen=True, kw_only=True)
class Glyphs(Domain):
    """Light printed characters on black, from the fonts that matplotlib ships.

    Attributes:
        characters: each is a class, in this order.
        size: height and width in pixels.
        per_class: pool examples of each class.
        test_per_class: test examples of each class.
        seed: of the maps; the same for all seed blocks.
        inverted: draw dark characters on white instead, a shift between source and target.
    """

    characters: str = "0123456789"
    size: Annotated[int, Ge(4)] = 16
    per_class: Count = 400
    test_per_class: Count = 100
    seed: Whole = 0
    inverted: bool | None = None
    optional: ClassVar[tuple[str, ...]] = ("inverted",)

    @property
    def classes(self) -> tuple[str, ...]:
        """The characters."""
        return tuple(self.characters)

    @property
    def is_described(self) -> bool:
        """Whether each character has attributes; see `glyph_attributes`."""
        return are_described(self.characters)

    def check(self) -> None:
        """See `Domain.check`."""
        super().check()
        check_characters(self.characters)
        fonts_with(self.characters)

    def outline(self) -> Outline:
        """See `Domain.outline`; nothing is drawn."""
        n = len(self.classes)
        return Outline(self.classes, (self.per_class,) * n, (self.test_per_class,) * n)

    def load(self) -> LoadedDomain:
        """Return images (n, size, size, 1), the same number of each class."""
        fonts = fonts_with(self.characters)
        drawn = {char: [draw_large(char, font) for font in fonts] for char in self.characters}
        pool = self._part("pool", self.per_class, drawn)
        test = self._part("test", self.test_per_class, drawn)
        told = attributes_of(self.characters) if self.is_described else None
        notes = {"fonts": [font.stem for font in fonts]}
        return LoadedDomain(pool, test, self.classes, notes, attributes=told)

    def _part(
        self, name: str, per_class: int, drawn: dict[str, list[Image.Image]]
    ) -> ArrayExamples:
        """Draw one split; each character has its own random stream."""
        shape = (len(drawn), per_class, self.size, self.size, 1)
        images = np.empty(shape, dtype=np.uint8)
        for c, (character, glyphs) in enumerate(drawn.items()):
            rng = generator(self.seed, "glyphs", name, ord(character))
            for i in range(per_class):
                glyph = glyphs[rng.integers(len(glyphs))]
                images[c, i, :, :, 0] = warped(glyph, self.size, rng)
        labels = np.repeat(np.arange(len(drawn), dtype=np.int64), per_class)
        images = 255 - images if self.inverted else images
        return ArrayExamples(images.reshape(-1, *shape[2:]), labels)


def check_characters(characters: str) -> None:
    """Raise `BadInputError` unless these are two or more different characters."""
    if len(characters) < 2 or len(set(characters)) < len(characters):
        raise BadInputError(f"characters must be two or more different ones, not {characters!r}")


def fonts_with(characters: str) -> list[Path]:
    """Return the listed fonts that can draw all of these characters.

    Raises:
        BadInputError: no font can, or a font is missing from matplotlib.
    """
    import matplotlib
    from matplotlib.ft2font import FT2Font

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = [folder / f"{name}.ttf" for name in FONTS]
    for file in files:
        if not file.exists():
            raise BadInputError(f"this matplotlib does not ship the font {file.stem}")
    fitting = [f for f in files if _has_all(FT2Font(str(f)), characters)]
    if not fitting:
        raise BadInputError(f"no font of matplotlib's has all of the characters {characters!r}")
    return fitting


def _has_all(font: FT2Font, characters: str) -> bool:
    return all(font.get_char_index(ord(c)) and not c.isspace() for c in characters)


def draw_large(character: str, font: Path) -> Image.Image:
    """Return a grey image (CANVAS, CANVAS) with the glyph's box centred and its longer side INK."""
    from PIL import Image, ImageDraw, ImageFont

    large = Image.new("L", (4 * CANVAS, 4 * CANVAS))
    typeface = ImageFont.truetype(str(font), 2 * CANVAS)
    ImageDraw.Draw(large).text((CANVAS, CANVAS), character, font=typeface, fill=255)
    box = large.getbbox()
    if box is None:
        raise BadInputError(f"{font.stem} draws nothing for {character!r}")
    scale = INK / max(box[2] - box[0], box[3] - box[1])
    size = tuple(max(1, round(scale * (box[i + 2] - box[i]))) for i in (0, 1))
    canvas = Image.new("L", (CANVAS, CANVAS))
    glyph = large.crop(box).resize((size[0], size[1]), Image.Resampling.BOX)
    canvas.paste(glyph, ((CANVAS - size[0]) // 2, (CANVAS - size[1]) // 2))
    return canvas


def warped(glyph: Image.Image, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a glyph (size, size) under a random rotation, shear, scale, shift and contrast."""
    from PIL import Image

    side = size * OVERSAMPLE
    coefficients = tuple(_output_to_canvas(side, rng).ravel())
    image = glyph.transform(
        (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    contrast = rng.uniform(*CONTRAST)
    return np.rint(np.asarray(image.reduce(OVERSAMPLE)) * contrast).astype(np.uint8)


def _output_to_canvas(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a random affine map (2, 3) from pixels of the output to points of the canvas."""
    angle = rng.uniform(-MAX_ROTATION, MAX_ROTATION)
    shear = rng.uniform(-MAX_SHEAR, MAX_SHEAR)
    height = rng.uniform(*HEIGHT) * side / INK
    width = height * rng.uniform(*ASPECT)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = turn @ np.array([[1, shear], [0, 1]]) @ np.diag([width, height])
    backward = np.linalg.inv(forward)
    centre = side / 2 + rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * side
    return np.column_stack([backward, CANVAS / 2 - backward @ centre])
