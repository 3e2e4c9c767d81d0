"""What a rule sees of a strategy in its present state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass
class Shown:
    """Predictions and embeddings, each computed when it is first asked for.

    Args:
        predict: returns the logits (n, classes) of a part, float64 on the CPU.
        embed: returns the embeddings (n, dim) of a part, likewise.
        labels: labels of the held-out source examples, (n,); None if there are none.
        score: scores probabilities (n, classes) against labels (n,) by the metric that decides;
            more is better.
    """

    predict: Callable[[str], Tensor]
    embed: Callable[[str], Tensor]
    labels: Tensor | None
    score: Callable[[Tensor, Tensor], float]

    @cached_property
    def target(self) -> Tensor:
        """Logits of target inputs, (n, classes)."""
        return self.predict("target")

    @cached_property
    def held_out(self) -> Tensor:
        """Logits of held-out source examples, (n, classes)."""
        return self.predict("held_out")

    @cached_property
    def embedded(self) -> dict[str, Floats]:
        """Embeddings (n, dim) of `target`, of `held_out` and of `source` examples learned from."""
        return {part: self.embed(part).numpy() for part in ("target", "held_out", "source")}
