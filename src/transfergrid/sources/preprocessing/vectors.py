"""Preprocessing of vectors to a network's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.training import AUGMENTATIONS

if TYPE_CHECKING:
    from transfergrid.data.inputs import Inputs, Raw


@dataclass(frozen=True)
class VectorPreprocess:
    """Passes vectors on unchanged: their domain has standardised them; there is no augmentation.

    Attributes:
        inputs: length of the vectors.
        evaluated_at_once: how many are evaluated together at least: with as few as suits images the
            time would go into the calls.
    """

    inputs: int
    evaluated_at_once: ClassVar[int] = 1024

    def prepare(self, raw: Raw) -> Tensor:
        """Return vectors (n, inputs) float32.

        Raises:
            BadInputError: they have another length.
        """
        if len(raw) == 0:
            return torch.zeros(0, self.inputs)
        vectors = np.asarray(raw, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.inputs:
            found = vectors.shape[1] if vectors.ndim == 2 else f"shape {vectors.shape[1:]}"
            raise BadInputError(
                f"vectors of {found} do not fit a network for {self.inputs} numbers"
            )
        return torch.from_numpy(np.ascontiguousarray(vectors))

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Tensor:
        """Return the vectors unchanged, whatever the augmentation.

        Raises:
            BadInputError: there is no such augmentation.
        """
        check_known("augmentation", augmentation, AUGMENTATIONS)
        assert isinstance(prepared, Tensor)
        return prepared
