"""Random images with labels that are independent of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.outline import Outline
from transfergrid.records.arguments import Count, Whole
from transfergrid.records.seeds import generator


@dataclass(frozen=True, kw_only=True)
class Noise(Domain):
    """Uniform random pixels with labels independent of them: the domain of a placebo source.

    Attributes:
        n_classes: the number of classes, named "0", "1", ...
        size: height and width in pixels.
        per_class: pool examples of each class.
        test_per_class: test examples of each class.
        seed: of the images; the same for all seed blocks.
    """

    learnable: ClassVar[bool] = False

    n_classes: Annotated[int, Ge(2)] = 10
    size: Count = 16
    per_class: Count = 400
    test_per_class: Count = 100
    seed: Whole = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' numbers as text."""
        return tuple(str(c) for c in range(self.n_classes))

    def outline(self) -> Outline:
        """See `Domain.outline`; nothing is drawn."""
        n = len(self.classes)
        return Outline(self.classes, (self.per_class,) * n, (self.test_per_class,) * n)

    def load(self) -> LoadedDomain:
        """Return images (n, size, size, 1), the same number of each class."""
        pool, test = self._part("pool", self.per_class), self._part("test", self.test_per_class)
        return LoadedDomain(pool, test, self.classes)

    def _part(self, name: str, per_class: int) -> ArrayExamples:
        rng = generator(self.seed, "noise", name)
        labels = np.tile(np.arange(self.n_classes, dtype=np.int64), per_class)
        shape = (len(labels), self.size, self.size, 1)
        return ArrayExamples(rng.integers(0, 256, shape, dtype=np.uint8), labels)
