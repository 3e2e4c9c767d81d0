"""A tiny domain that notes who reads its test split, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.noise import Noise

EVENTS: list[str] = []


class Watched(ArrayExamples):
    """Examples that note when images or labels are read."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        EVENTS.append("test images" if len(indices) > 1 else "one test image")
        return super().read(indices)

    @property
    def labels(self) -> Any:
        EVENTS.append("test labels")
        return self._labels

    @labels.setter
    def labels(self, labels: Any) -> None:
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)


class Grouped(ArrayExamples):
    """Examples of which each class is one group."""

    @property
    def groups(self) -> NDArray[np.str_]:  # type: ignore[override]
        return self.labels.astype(str)


@dataclass(frozen=True, kw_only=True)
class WatchedDomain(Domain):
    """Noise with unequal classes, its test split under watch."""

    per_class: int = 20
    salt: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        return ("few", "many")

    def load(self) -> LoadedDomain:
        noise = Noise(n_classes=2, size=8, per_class=self.per_class, test_per_class=5).load()
        kept = np.flatnonzero((noise.pool.labels == 1) | (np.arange(len(noise.pool)) < 8))
        pool = ArrayExamples(noise.pool.read(kept), noise.pool.labels[kept])
        test = Watched(noise.test.read(np.arange(10)), noise.test.labels)
        return LoadedDomain(pool, test, self.classes)


@dataclass(frozen=True, kw_only=True)
class GroupedDomain(WatchedDomain):
    """The same, with all that there is of a class in one group."""

    def load(self) -> LoadedDomain:
        loaded = super().load()
        places = np.arange(len(loaded.pool))
        pool = Grouped(loaded.pool.read(places), loaded.pool.labels)
        return LoadedDomain(pool, loaded.test, self.classes)
