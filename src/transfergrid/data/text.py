"""Texts, or pairs of texts, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.examples import Examples, Labels

Texts: TypeAlias = Sequence[str] | Sequence[tuple[str, str]]


class TextExamples(Examples):
    """Texts with labels and, if known, groups."""

    def __init__(
        self,
        texts: Texts,
        labels: Labels,
        groups: NDArray[np.str_] | None = None,
    ) -> None:
        """Keep texts (n,), labels (n, ...) and groups (n,) as they are."""
        if len(texts) != len(labels) or (groups is not None and len(groups) != len(labels)):
            raise ValueError(f"{len(texts)} texts but {len(labels)} labels, or groups do not fit")
        self.texts = texts
        self.labels = labels
        self.groups = groups

    @cached_property
    def characters(self) -> NDArray[np.int64]:
        """See `Examples.characters`."""
        counts = [len(t) if isinstance(t, str) else sum(map(len, t)) for t in self.texts]
        return np.array(counts, dtype=np.int64)

    def read(self, indices: NDArray[np.int64]) -> list[str] | list[tuple[str, str]]:
        """Return these texts, or pairs of texts."""
        return [self.texts[int(i)] for i in indices]  # type: ignore[return-value]
