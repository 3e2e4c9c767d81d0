"""A domain and a source of vectors, as small as those in `tiny`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from transfergrid.data.domain import LoadedDomain
from transfergrid.records.seeds import generator
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.mlp import MLP
from transfergrid.sources.source import Maker, Source
from transfergrid.testing.tiny import (
    CLASSES,
    DROPOUT,
    POOL_EACH,
    TEST_EACH,
    TinyDomain,
    TinyExamples,
    classifier,
    fine_tuned,
)
from transfergrid.testing.tiny_numbers import TinyNumbers

WIDTH = 16


@dataclass(frozen=True, kw_only=True)
class TinyVectorDomain(TinyDomain):
    """Three classes of vectors of sixteen numbers: a centre of each class, and noise."""

    modality: ClassVar[str] = "vector"

    @property
    @override
    def vector(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(WIDTH))

    @override
    def load(self) -> LoadedDomain:
        pool = TinyExamples("the pool", *self._vectors("pool", POOL_EACH))
        vectors, labels = self._vectors("test", TEST_EACH)
        if self.test == "poisoned":
            vectors, labels = -vectors[::-1], (labels + 1) % len(CLASSES)
        return self._loaded(pool, TinyExamples("the test split", vectors, labels))

    def _vectors(self, name: str, each: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rng = generator(0, "tiny vectors", name, str(self.shift))
        labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), each))
        own, other = (
            generator(0, "tiny vectors", centres).normal(size=(len(CLASSES), WIDTH))
            for centres in ("centres", "other centres")
        )
        centres = (1.0 - self.shift) * own + self.shift * other
        noise = rng.normal(size=(len(labels), WIDTH))
        return (centres[labels] + noise).astype(np.float32), labels


@dataclass(frozen=True, kw_only=True)
class TinyVectorNumbers(TinyNumbers, TinyVectorDomain):
    """Vectors with one number each; see `TinyNumbers`."""


@dataclass(frozen=True)
class TinyVectorSource(Source):
    """Weights that stand for pretrained ones; see `TinySource`."""

    architecture: MLP = field(
        default_factory=lambda: MLP(WIDTH, (12, 12), batch_norm=True, dropout=DROPOUT)
    )
    domain: TinyDomain | None = field(default_factory=lambda: TinyVectorDomain(shift=0.4))

    @override
    def initial(self) -> Backbone:
        return self.architecture.build()

    @override
    def load(self, maker: Maker, block_seed: int) -> Backbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(20)
            backbone = self.architecture.build()
            for _ in range(20):
                backbone.embed(0.2 + torch.randn(32, WIDTH))  # moves its statistics
            backbone.head_weights = classifier(self.domain, backbone.dim)
        return backbone

    @override
    def each(self, maker: Maker, block_seed: int) -> tuple[Backbone, list[Backbone]]:
        start = self.load(maker, block_seed)
        return start, fine_tuned(start, len(self.domain.each if self.domain else ()))
