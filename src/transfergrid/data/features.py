"""Pixels as features for the classical learner; imports scikit-learn, so import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin

from transfergrid.data.domain import Raw


class ImageFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Images at one small square size, flattened, in 0 to 1.

    `fit` settles the side (the images' own, at most `max_side` pixels) and the channels
    (three as soon as one image has colours), so that images of unequal kinds fit one matrix.
    """

    def __init__(self, max_side: int = 32) -> None:
        self.max_side = max_side

    def fit(self, images: Raw, labels: Any = None) -> ImageFeatures:
        """Look at the sizes of images (H, W, C); labels are not used."""
        self.side_ = min(self.max_side, max(max(image.shape[:2]) for image in images))
        self.mode_ = "RGB" if any(image.shape[2] == 3 for image in images) else "L"
        return self

    def transform(self, images: Raw) -> NDArray[np.float32]:
        """Return features (n, side * side * channels)."""
        return np.stack([self._features(image) for image in images])

    def _features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        picture = picture.convert(self.mode_)
        size = (self.side_, self.side_)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BOX)
        return np.asarray(picture, dtype=np.float32).ravel() / np.float32(255)
