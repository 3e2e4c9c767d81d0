"""A domain whose examples are entries of a matrix, as small as those in `tiny`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from transfergrid.data.domain import LoadedDomain
from transfergrid.data.entries import number_of
from transfergrid.records.seeds import generator
from transfergrid.testing.tiny import CLASSES, POOL_EACH, TEST_EACH, TinyExamples
from transfergrid.testing.tiny_numbers import OUTPUTS, TinyNumbers

USERS, ITEMS = 12, 8


@dataclass(frozen=True, kw_only=True)
class TinyEntries(TinyNumbers):
    """Entries of a matrix of 12 users and 8 items: of rank one, with noise.

    Users have the same names and factors at any shift; each shift has its own items.
    """

    metric: str = "rmse"
    modality: ClassVar[str] = "matrix"
    of_entries: ClassVar[bool] = True

    @override
    def load(self) -> LoadedDomain:
        rng = generator(0, "tiny entries", str(self.shift))
        places = rng.permutation(USERS * ITEMS)[: len(CLASSES) * (POOL_EACH + TEST_EACH)]
        rows, columns = np.divmod(places, ITEMS)
        users = generator(0, "tiny entries", "users").normal(size=USERS)
        items = rng.normal(size=ITEMS)
        values = users[rows] * items[columns] + 0.1 * rng.normal(size=len(places))
        names = [
            [number_of(f"user {row}"), number_of(f"item {self.shift} {column}")]
            for row, column in zip(rows, columns, strict=True)
        ]
        told, labels = np.array(names, dtype=np.int64), values.astype(np.float32)
        tested = len(CLASSES) * TEST_EACH
        test: tuple[NDArray[np.int64], NDArray[np.float32]] = told[:tested], labels[:tested]
        if self.test == "poisoned":
            test = told[:tested][::-1], -labels[:tested]
        pool = TinyExamples("the pool", told[tested:], labels[tested:])
        asked = TinyExamples("the test split", *test)
        pool.of_entries = asked.of_entries = True
        return LoadedDomain(pool, asked, (), outputs=OUTPUTS)
