"""Pixels as features of the classical baseline; imports scikit-learn, so import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin

from transfergrid.data.inputs import Raw
from transfergrid.records.component import Part

LARGEST_SIDE = 4096
"""Largest plausible side in pixels, and number of channels."""


class ImageFeatures(TransformerMixin, BaseEstimator, Part):  # type: ignore[misc]
    """Images resized to one small square, flattened, with values from 0 to 1.

    `fit` decides the side (that of the largest image, at most `max_side` pixels) and the number of
    channels (the largest of all images, so three if one image has colours). Thus images of
    different kinds fit into one matrix.
    """

    def __init__(self, max_side: int = 32) -> None:
        self.max_side = max_side

    def fit(self, images: Raw, labels: Any = None) -> ImageFeatures:
        """Find the side and the channels of images (H, W, C); labels are not used."""
        shapes = {image.shape for image in images}  # one pass: each may decode the images
        self.side_ = min(self.max_side, max(max(shape[:2]) for shape in shapes))
        self.channels_ = max(shape[2] for shape in shapes)
        return self

    def transform(self, images: Raw) -> NDArray[np.float32]:
        """Return features (n, side * side * channels)."""
        return np.stack([self._features(image) for image in images])

    def kept(self) -> dict[str, Any]:
        """Return the fitted state as plain JSON values."""
        return {"side": self.side_, "channels": self.channels_}

    def restore(self, kept: dict[str, Any]) -> ImageFeatures:
        """Restore the fitted state from the output of `kept`."""
        self.side_, self.channels_ = int(kept["side"]), int(kept["channels"])
        if not (0 < self.side_ <= LARGEST_SIDE and 0 < self.channels_ <= LARGEST_SIDE):
            raise ValueError(f"features of {self.side_} pixels and {self.channels_} channels")
        return self

    def _features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        bands = _adapted(image, self.channels_)
        size = (self.side_, self.side_)
        if bands[0].size != size:
            bands = [band.resize(size, Image.Resampling.BOX) for band in bands]
        values = np.stack([np.asarray(band, dtype=np.float32) for band in bands], axis=-1)
        return values.ravel() / np.float32(255)


def _adapted(image: NDArray[np.uint8], channels: int) -> list[Image.Image]:
    """Return an image (H, W, C) as `channels` grey pictures.

    A single channel is repeated. If one channel is wanted, three become their luma, and any other
    number becomes the mean. Otherwise surplus channels are dropped from the end, and missing ones
    are filled with the mean.
    """
    bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(image, 2, 0)]
    if len(bands) == 3 and channels == 1:
        return [Image.merge("RGB", bands).convert("L")]
    if channels == 1 and len(bands) > 1:
        return [_mean(image)]
    if len(bands) < channels:
        bands += [_mean(image)] * (channels - len(bands))
    return bands[:channels]


def _mean(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.rint(image.mean(axis=2)).astype(np.uint8))
