"""What a rule is shown of a strategy as it stands."""

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
    """Predictions and embeddings, each made when it is first asked for.

    Args:
        predict: gives the logits (n, classes) of a part, float64 on the CPU.
        embed: gives the embeddings (n, dim) of a part, likewise.
        labels: of the held-out source examples, (n,); None without any.
        score: of probabilities (n, classes) and labels (n,), by the metric that decides; more is
            better.
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
        """Logits of source examples that nothing was learned from, (n, classes)."""
        return self.predict("held_out")

    @cached_property
    def embedded(self) -> dict[str, Floats]:
        """Embeddings (n, dim) of `target`, of `held_out` and of a part of the `source` learned."""
        return {part: self.embed(part).numpy() for part in ("target", "held_out", "source")}
