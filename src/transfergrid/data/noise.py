"""Images and labels that have nothing to do with each other, or with anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from transfergrid.data.domain import ArrayExamples, Domain, LoadedDomain, check_at_least
from transfergrid.data.outline import Outline
from transfergrid.records.seeds import generator


@dataclass(frozen=True, kw_only=True)
class Noise(Domain):
    """Uniform random pixels with labels that say nothing: what a placebo is trained on.

    Attributes:
        n_classes: how many classes, named "0", "1", ...
        size: height and width in pixels.
        per_class: pool examples of each class.
        test_per_class: test examples of each class.
        seed: of the images; the same for all seed blocks.
    """

    learnable: ClassVar[bool] = False

    n_classes: int = 10
    size: int = 16
    per_class: int = 400
    test_per_class: int = 100
    seed: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Numbers as text."""
        return tuple(str(c) for c in range(self.n_classes))

    def check(self) -> None:
        """See `Domain.check`."""
        super().check()
        check_at_least(2, n_classes=self.n_classes)
        check_at_least(0, seed=self.seed)
        positive = {"size": self.size, "per_class": self.per_class}
        check_at_least(1, **positive, test_per_class=self.test_per_class)

    def outline(self) -> Outline:
        """See `Domain.outline`; nothing is drawn."""
        n = len(self.classes)
        return Outline(self.classes, (self.per_class,) * n, (self.test_per_class,) * n)

    def load(self) -> LoadedDomain:
        """Return images (n, size, size, 1), as many of each class."""
        pool, test = self._part("pool", self.per_class), self._part("test", self.test_per_class)
        return LoadedDomain(pool, test, self.classes)

    def _part(self, name: str, per_class: int) -> ArrayExamples:
        rng = generator(self.seed, "noise", name)
        labels = np.tile(np.arange(self.n_classes, dtype=np.int64), per_class)
        shape = (len(labels), self.size, self.size, 1)
        return ArrayExamples(rng.integers(0, 256, shape, dtype=np.uint8), labels)
