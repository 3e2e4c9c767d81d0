"""What the arms without a backbone learn from: a domain's plain features as inputs."""

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
        """Of what it made last."""

    def prepare(self, raw: Raw) -> Inputs:
        """Return dense features as a float32 tensor (n, d), or int64 where they are whole.

        Of sparse ones, see `padded`.
        """
        features = self.featuriser.transform(raw)
        self.width = features.shape[1]
        if hasattr(features, "tocsr"):
            return padded(features)
        whole = np.issubdtype(features.dtype, np.integer)  # numbers that stand for names
        return torch.from_numpy(np.asarray(features, dtype=np.int64 if whole else np.float32))

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Inputs:
        """Return them as they are."""
        return prepared
