"""Features of printed characters, which describe the classes of glyphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHAPES = {
    "encloses": "ABDOPQR04689",
    "encloses twice": "B8",
    "vertical stroke": "BDEFHIJKLMNPRTU1459",
    "horizontal stroke": "AEFGHLTZ12457",
    "diagonal stroke": "AKMNQRVWXYZ1247",
    "curve": "BCDGJOPQRSU0235689",
    "left like right": "AHIMOTUVWXY08",
    "upper like lower": "BCDEHIKOX038",
    "half turn": "HINOSXZ08",
    "open to the right": "CEFGKLX6",
    "open to the left": "JSZ123579",
    "two feet": "AHKMNRX",
    "one foot": "FIPTY1479",
    "flat foot": "BDELZ12",
    "three ends or more": "EFHKTXY",
    "bar in the middle": "ABEFGHPR3456",
    "flat top": "BDEFPRTZ57",
    "zigzag": "MNWZ2",
}
"""By attribute: the capitals and digits that have it, in sans-serif fonts."""
NAMES = tuple(SHAPES)


def are_described(characters: Sequence[str]) -> bool:
    """Return whether each of the characters has at least one attribute."""
    return all(any(char in holds for holds in SHAPES.values()) for char in characters)


def attributes_of(characters: Sequence[str]) -> NDArray[np.float32]:
    """Return the attributes of each character, (characters, attributes), 1 or 0."""
    rows = [[char in holds for holds in SHAPES.values()] for char in characters]
    return np.array(rows, dtype=np.float32)
