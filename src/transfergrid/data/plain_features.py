"""A domain's plain features as inputs of the arms without a backbone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from transfergrid.data.inputs import Inputs, Raw
from transfergrid.data.sparse_inputs import padded


class PlainFeatures:
    """Preprocessing of the arms without a backbone: the domain's plain features, (n, d)."""

    def __init__(self, featuriser: Any) -> None:
        self.featuriser = featuriser
        self.width = 0
        """Number of features that `prepare` returned last."""

    def prepare(self, raw: Raw) -> Inputs:
        """Return dense features as a tensor (n, d), int64 for whole numbers, else float32.

        Sparse features are returned as by `sparse_inputs.padded`.
        """
        features = self.featuriser.transform(raw)
        self.width = features.shape[1]
        if hasattr(features, "tocsr"):
            return padded(features)
        whole = np.issubdtype(features.dtype, np.integer)  # numbers that stand for names
        return torch.from_numpy(np.asarray(features, dtype=np.int64 if whole else np.float32))

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Inputs:
        """Return the prepared features unchanged."""
        return prepared
