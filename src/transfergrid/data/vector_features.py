"""Vectors as features of the classical baseline; imports scikit-learn, so import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from transfergrid.data.inputs import Raw
from transfergrid.records.component import Part


class VectorFeatures(TransformerMixin, BaseEstimator, Part):  # type: ignore[misc]
    """The numbers unchanged, because their domain has standardised them."""

    def fit(self, vectors: Raw, labels: Any = None) -> VectorFeatures:
        """Note how long the vectors are; labels are not used."""
        self.width_ = int(np.shape(vectors)[1])
        return self

    def transform(self, vectors: Raw) -> NDArray[np.float32]:
        """Return features (n, d)."""
        return np.asarray(vectors, dtype=np.float32)

    def kept(self) -> dict[str, Any]:
        """Return the fitted state as plain JSON values."""
        return {"width": self.width_}

    def restore(self, kept: dict[str, Any]) -> VectorFeatures:
        """Restore the fitted state from the output of `kept`."""
        self.width_ = int(kept["width"])
        return self
