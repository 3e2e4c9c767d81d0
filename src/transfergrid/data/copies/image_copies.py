"""Exact and near copies among images.

Two images are exact copies if all their decoded pixels are equal. They are near copies if their
colours at 32 x 32 pixels, minus the mean and divided by the spread, correlate by 0.992 or more.
This finds images that were resized, compressed again or brightened. A cropped or rotated image is
no near copy, nor is an image whose colours were removed.

The search misses no such pair. The correlation of unit vectors determines their distance, and the
distance in a subspace is a lower bound of it (Faloutsos et al., Fast subsequence matching in
time-series databases, 1994). So pairs that are too far apart in 64 coarse directions, the low
frequencies of brightness, are skipped, and only the others are compared in full.

Of MNIST's 10,000 test digits a handful count as near copies: plain strokes of the digit one.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from transfergrid.data.copies.found import Copies, add_near, exact_copies
from transfergrid.data.examples import Examples, Reading

SIDE = 32
"""Height and width in pixels of the small images that are compared."""
COARSE = 8
"""Number of frequencies, across and down, that decide which pairs are compared in full."""
SIMILAR = 0.992
ROWS = 250
"""How many test images are compared at once."""

Numbers = NDArray[np.int64]
Vectors = NDArray[np.float32]


def find_copies(pool: Examples, test: Examples) -> Copies:
    """Return the copies between two sets of images, of any sizes and numbers of channels."""
    seen = [Seen(part) for part in (pool, test)]
    copies = exact_copies(seen[0].keys, seen[1].keys)
    for p, t in _near_pairs(*seen):
        add_near(copies, p, t)
    return copies


class Seen:
    """The features by which a set of images is compared.

    Attributes:
        keys: (n,) a hash of all pixels and the shape.
        small: (n, SIDE, SIDE, 3) the images, resized.
        coarse: (n, COARSE * COARSE) their coordinates in the coarse directions.
    """

    def __init__(self, examples: Examples) -> None:
        """Decode the images (n,), part by part."""
        n = len(examples)
        self.keys = np.zeros(n, dtype=np.uint64)
        self.small = np.zeros((n, SIDE, SIDE, 3), dtype=np.uint8)
        self.coarse = np.zeros((n, COARSE * COARSE), dtype=np.float32)
        for place, image in enumerate(Reading(examples, np.arange(n, dtype=np.int64))):
            self.keys[place] = _key(image)
            self.small[place] = shrunk(image)
        for start in range(0, n, ROWS):
            some = slice(start, start + ROWS)
            self.coarse[some] = _coarse(self.small[some])

    def full(self, places: Numbers) -> Vectors:
        """Return the unit vectors (len(places), SIDE * SIDE * 3) of these images."""
        return unit_vectors(self.small[places])


def _key(image: NDArray[np.uint8]) -> int:
    digest = blake2b(repr(image.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(image).data)
    return int.from_bytes(digest.digest(), "big")


def shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, C) as (SIDE, SIDE, 3).

    A single channel is repeated, of two the first is appended, of more the first three are taken.
    """
    channels = image.shape[2]
    if channels == 2:
        image = np.concatenate([image, image[..., :1]], axis=2)
    picture = Image.fromarray(np.ascontiguousarray(image[..., 0 if channels == 1 else slice(3)]))
    small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return np.repeat(small[..., None], 3, axis=2) if channels == 1 else small


def unit_vectors(small: NDArray[np.uint8]) -> Vectors:
    """Return images (n, ...) as vectors (n, d) of mean 0 and length 1; constant ones give 0."""
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    flat /= np.where(length > 0, length, np.inf)
    return flat


def _coarse(small: NDArray[np.uint8]) -> Vectors:
    """Project the images' unit vectors on the low frequencies of brightness, which are orthonormal.

    The result is (n, COARSE * COARSE).
    """
    images = unit_vectors(small).reshape(small.shape).sum(axis=3) / np.float32(np.sqrt(3))
    low = dctn(images, axes=(1, 2), norm="ortho")[:, :COARSE, :COARSE]
    return np.ascontiguousarray(low.reshape(len(small), -1))


def _near_pairs(pool: Seen, test: Seen) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield pairs of near copies: indices in the pool and in the test split, (k,) each."""
    within = 2 * (1 - SIMILAR) + 1e-5  # squared distance, with a margin for rounding
    others = np.column_stack([-2 * pool.coarse, _squares(pool.coarse), np.ones(len(pool.keys))])
    others = others.astype(np.float32).T
    for start in range(0, len(test.keys), ROWS):
        part = test.coarse[start : start + ROWS]
        ours = np.column_stack([part, np.ones(len(part)), _squares(part)]).astype(np.float32)
        t, p = np.nonzero(ours @ others <= within)  # |a|^2 + |b|^2 - 2 ab
        t += start
        for first in range(0, len(t), ROWS):
            some = slice(first, first + ROWS)
            alike = (pool.full(p[some]) * test.full(t[some])).sum(axis=1) >= SIMILAR
            yield p[some][alike], t[some][alike]


def _squares(vectors: Vectors) -> Vectors:
    squares: Vectors = (vectors**2).sum(axis=1)
    return squares
