"""Pixels as features for the classical learner; imports scikit-learn, so import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin

from transfergrid.data.inputs import Raw
from transfergrid.records.component import Part

LARGEST_SIDE = 4096
"""Pixels, and channels, beyond which nobody meant it."""


class ImageFeatures(TransformerMixin, BaseEstimator, Part):  # type: ignore[misc]
    """Images at one small square size, flattened, in 0 to 1.

    `fit` settles the side (the images' own, at most `max_side` pixels) and the channels (as many
    as the image with most has, so three as soon as one image has colours), so that images of
    unequal kinds fit one matrix.
    """

    def __init__(self, max_side: int = 32) -> None:
        self.max_side = max_side

    def fit(self, images: Raw, labels: Any = None) -> ImageFeatures:
        """Look at the sizes of images (H, W, C); labels are not used."""
        shapes = {image.shape for image in images}  # gone through once: they may be decoded now
        self.side_ = min(self.max_side, max(max(shape[:2]) for shape in shapes))
        self.channels_ = max(shape[2] for shape in shapes)
        return self

    def transform(self, images: Raw) -> NDArray[np.float32]:
        """Return features (n, side * side * channels)."""
        return np.stack([self._features(image) for image in images])

    def kept(self) -> dict[str, Any]:
        """Return what `fit` settled as plain JSON values."""
        return {"side": self.side_, "channels": self.channels_}

    def restore(self, kept: dict[str, Any]) -> ImageFeatures:
        """Be fitted as the features were that `kept` this."""
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

    One channel is repeated; three become their luma for one, and any others their mean; of more
    than `channels` the first ones are taken, and fewer are filled up with their mean.
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
