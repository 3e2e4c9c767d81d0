"""The tiny domains with numbers as labels, which are similar for examples of one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from transfergrid.data.domain import LoadedDomain
from transfergrid.data.outline import Outline
from transfergrid.records.metrics import NUMBERS
from transfergrid.records.seeds import generator
from transfergrid.testing.tiny import CLASSES, POOL_EACH, TEST_EACH, TinyDomain, TinyExamples
from transfergrid.testing.tiny_text import TinyTextDomain

OUTPUTS = ("size",)


@dataclass(frozen=True, kw_only=True)
class TinyNumbers(TinyDomain):
    """Pictures with one number each: 3, 5 or 7 by their pattern, and up to 1 more."""

    metric: str = "mae"
    tasks: ClassVar[tuple[str, ...]] = (NUMBERS,)

    @property
    @override
    def classes(self) -> tuple[str, ...]:
        return ()

    @property
    @override
    def outputs(self) -> tuple[str, ...]:
        return OUTPUTS

    @override
    def outline(self) -> Outline:
        return Outline((), (POOL_EACH * len(CLASSES),), (TEST_EACH * len(CLASSES),))

    @override
    def load(self) -> LoadedDomain:
        return numbered(super().load())


@dataclass(frozen=True, kw_only=True)
class TinyTextNumbers(TinyNumbers, TinyTextDomain):
    """Texts with one number each; see `TinyNumbers`."""


def numbered(loaded: LoadedDomain) -> LoadedDomain:
    """Return a domain whose labels are numbers instead of classes; it changes the given one."""
    for part in (loaded.pool, loaded.test):
        assert isinstance(part, TinyExamples)
        more = generator(0, "tiny numbers", part.name).random(len(part))
        part.relabel((3 + 2 * part.labels + more).astype(np.float32))
    return LoadedDomain(loaded.pool, loaded.test, (), outputs=OUTPUTS)
