"""Tiny domains with something wrong about them on purpose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from transfergrid.data.domain import LoadedDomain
from transfergrid.testing.tiny import TinyDomain, TinyExamples


@dataclass(frozen=True, kw_only=True)
class FaintDomain(TinyDomain):
    """The tiny pictures with a fifth of their contrast, and darker."""

    @override
    def load(self) -> LoadedDomain:
        loaded = super().load()
        return replace(loaded, pool=_faint(loaded.pool), test=_faint(loaded.test))


def _faint(examples: TinyExamples) -> TinyExamples:
    images = (20 + examples._images / 5.0).astype(np.uint8)
    return TinyExamples(examples.name, images, examples.labels)


@dataclass(frozen=True, kw_only=True)
class SkewedDomain(TinyDomain):
    """Nine in ten of the pool are of one class, as many of each of the test split; much noise."""

    @override
    def load(self) -> LoadedDomain:
        loaded = super().load()
        labels: NDArray[np.int64] = loaded.pool.labels
        few = np.flatnonzero(labels != 0)[:6]
        kept = np.sort(np.concatenate([np.flatnonzero(labels == 0), few]))
        pool = TinyExamples("the pool", _noisy(loaded.pool._images[kept], 1), labels[kept])
        test = TinyExamples("the test", _noisy(loaded.test._images, 2), loaded.test.labels)
        return replace(loaded, pool=pool, test=test)


def _noisy(images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, images.shape)
    return (0.3 * images + 0.7 * noise).astype(np.uint8)
