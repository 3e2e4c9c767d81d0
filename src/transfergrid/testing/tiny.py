"""Domains, backbones and sources so small that a cell takes a tenth of a second.

The backbone has BatchNorm and dropout on purpose: they reveal a strategy that does not freeze well.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import Examples, Labels
from transfergrid.data.inputs import Inputs, Raw
from transfergrid.records.errors import check_known
from transfergrid.records.needs import Needs
from transfergrid.records.seeds import generator
from transfergrid.sources.backbone import Backbone, Block, Change, Granularity
from transfergrid.sources.source import Architecture, Maker, Source

SIDE = 8
CLASSES = ("circle", "cross", "stripe")
MORE = ("dot", "ring")
"""Additional classes of a source domain whose classes differ from the target's."""
POOL_EACH, TEST_EACH = 20, 8
Network = TypeVar("Network", bound=Backbone)
TESTS = ("plain", "poisoned")
DROPOUT = 0.2


class SealedError(Exception):
    """Something was read that must not be read at this moment."""


class TinyExamples(Examples):
    """Examples in memory, such as images (n, 8, 8, 1), whose reading can be forbidden for a while.

    Attributes:
        sealed: which of "images" and "labels" raise `SealedError` when they are read.
    """

    def __init__(self, name: str, images: NDArray[Any], labels: Labels) -> None:
        self.name, self._images, self._labels = name, images, labels
        self.sealed: frozenset[str] = frozenset()

    @property
    def labels(self) -> Labels:  # type: ignore[override]
        """(n,) class indices, or numbers."""
        self._check("labels")
        return self._labels

    def relabel(self, labels: Labels) -> None:
        """Replace the labels, (n,)."""
        self._labels = labels

    @override
    def __len__(self) -> int:
        return len(self._images)

    @override
    def read(self, indices: NDArray[np.int64]) -> Raw:
        self._check("images")
        return self._images[indices]

    def _check(self, what: str) -> None:
        if what in self.sealed:
            raise SealedError(f"the {what} of {self.name}")


@dataclass(frozen=True, kw_only=True)
class TinyDomain(Domain):
    """Three classes of 8 by 8 pictures: noise and a pattern of each class, which has a description.

    Attributes:
        shift: how far, from 0 to 1, its pictures are from those of the domain with shift 0.
        test: "plain", or "poisoned": inverted pictures with wrong labels. The pool is the same in
            both.
        more: whether there are two more classes.
    """

    shift: float = 0.0
    test: str = "plain"
    more: bool = False

    @property
    @override
    def classes(self) -> tuple[str, ...]:
        return CLASSES + MORE if self.more else CLASSES

    @property
    @override
    def is_described(self) -> bool:
        return bool(self.classes)

    @override
    def check(self) -> None:
        super().check()
        check_known("test", self.test, TESTS)

    @override
    def load(self) -> LoadedDomain:
        pool = TinyExamples("the pool", *self._split("pool", POOL_EACH))
        images, labels = self._split("test", TEST_EACH)
        if self.test == "poisoned":
            images, labels = 255 - images[::-1], (labels + 1) % (1 + labels.max())
        return self._loaded(pool, TinyExamples("the test split", images, labels))

    def _loaded(self, pool: TinyExamples, test: TinyExamples) -> LoadedDomain:
        told = generator(0, "tiny", "attributes").random((len(self.classes), 4))
        return LoadedDomain(pool, test, self.classes, attributes=told.astype(np.float32))

    def _split(self, name: str, each: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        rng = generator(0, "tiny", name, str(self.shift))
        shape = (n := len(CLASSES) + self.more * len(MORE), SIDE, SIDE)
        labels = rng.permutation(np.repeat(np.arange(n), each))
        own = generator(0, "tiny", "patterns").random(shape)
        other = generator(0, "tiny", "other patterns").random(shape)
        patterns = (1.0 - self.shift) * own + self.shift * other
        noise = rng.random((len(labels), SIDE, SIDE))
        images = 255.0 * (0.6 * patterns[labels] + 0.4 * noise)
        return images[..., None].astype(np.uint8), labels


def source_classes(needs: Needs, differ: bool = False) -> dict[str, Any]:
    """Return arguments for a source domain whose classes suit a strategy with these needs.

    Args:
        needs: what the strategy needs.
        differ: whether the classes differ from the target's, if the strategy allows that.
    """
    same = needs.classes == "same"
    more = (differ and not same) or ("partial" in needs.pairs and "closed" not in needs.pairs)
    fewer = same and set(needs.pairs) == {"open"}
    return {"more": more, "only": CLASSES[:-1] if fewer else None}


@dataclass(frozen=True)
class TinyPreprocess:
    """Pictures as (n, 1, 8, 8) float32 around zero; augmentation flips some left to right."""

    def prepare(self, raw: Raw) -> Tensor:
        """Return pictures with values from 0 to 1."""
        images = np.stack([np.asarray(image) for image in raw])
        return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Inputs:
        """Return prepared pictures, augmented and normalised."""
        assert isinstance(prepared, Tensor)
        if rng is not None and augmentation != "none":
            flip = torch.rand(len(prepared), 1, 1, 1, generator=rng) < 0.5
            prepared = torch.where(flip, prepared.flip(-1), prepared)
        return (prepared - 0.5) / 0.25


class TinyBackbone(Backbone):
    """Two convolutions with BatchNorm, dropout, one dense layer."""

    network: nn.Sequential

    CUTS: ClassVar[dict[Granularity, dict[str, int]]] = {
        "coarse": {"stem": 0, "body": 3, "neck": 8},
        "fine": {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "dense": 8},
    }
    """The index of each block's first layer."""

    def __init__(self, width: int) -> None:
        layers: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(1, width, 3, stride=2, padding=1, bias=False),
            "bn1": nn.BatchNorm2d(width),
            "relu1": nn.ReLU(),
            "conv2": nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            "bn2": nn.BatchNorm2d(width),
            "relu2": nn.ReLU(),
            "dropout": nn.Dropout(DROPOUT),
            "flatten": nn.Flatten(),
            "dense": nn.Linear(4 * width, 2 * width),
        }
        network = nn.Sequential(OrderedDict(layers))
        super().__init__(network, f"tiny width={width}", TinyPreprocess())

    @override
    def embed(self, inputs: Inputs) -> Tensor:
        features: Tensor = self.network(inputs)
        return features

    @override
    def example(self, batch: int = 1) -> Tensor:
        return torch.zeros(batch, 1, SIDE, SIDE, device=next(self.parameters()).device)

    @override
    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        starts = self.CUTS[granularity]
        ends = [*list(starts.values())[1:], len(self.network)]
        return [
            Block(name, _names(part.named_parameters()), _names(part.named_buffers()))
            for (name, start), end in zip(starts.items(), ends, strict=True)
            for part in [self.network[start:end]]
        ]

    def _cut(self, k: int, granularity: Granularity) -> int:
        return [*self.CUTS[granularity].values(), len(self.network)][k]

    @override
    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        return Part(self.network[: self._cut(k, granularity)], opens=False)

    @override
    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        return Part(self.network[self._cut(k, granularity) :], opens=True)

    @override
    def boundaries(
        self, inputs: Inputs, granularity: Granularity = "coarse"
    ) -> list[tuple[Tensor, ...]]:
        found: list[tuple[Tensor, ...]] = []
        cuts = [*self.CUTS[granularity].values(), len(self.network)]
        for start, end in pairwise(cuts):
            inputs = self.network[start:end](inputs)
            assert isinstance(inputs, Tensor)
            found.append((inputs,))
        return found

    @override
    def steered(
        self, inputs: Inputs, change: Change, granularity: Granularity = "coarse"
    ) -> Tensor:
        cuts = [*self.CUTS[granularity].values(), len(self.network)]
        for number, (start, end) in enumerate(pairwise(cuts)):
            assert isinstance(inputs, Tensor)
            inputs = self.network[start:end](change(number, inputs) if number else inputs)
        assert isinstance(inputs, Tensor)
        return inputs


class Part(nn.Module):
    """The network on one side of a cut; the boundary is a tuple of one tensor."""

    def __init__(self, layers: nn.Sequential, opens: bool) -> None:
        super().__init__()
        self.layers, self.opens = layers, opens

    @override
    def forward(self, value: Tensor | tuple[Tensor]) -> Tensor | tuple[Tensor]:
        result: Tensor = self.layers(value[0] if self.opens else value)
        return result if self.opens else (result,)


def _names(named: object) -> tuple[str, ...]:
    return tuple(f"network.{name}" for name, _ in named)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class TinyArchitecture(Architecture):
    """A `TinyBackbone` of this width."""

    width: int = 6

    @property
    @override
    def name(self) -> str:
        return f"tiny{self.width}"

    @override
    def build(self) -> TinyBackbone:
        return TinyBackbone(self.width)


def classifier(domain: Domain | None, dim: int) -> dict[str, Tensor]:
    """Return random weights that stand for the head that was trained with a source."""
    if domain is None:
        return {}
    return {"weight": torch.randn(len(domain.classes or domain.outputs), dim)}


def fine_tuned(start: Network, number: int) -> list[Network]:
    """Return copies with noise, which stand for trainings that began with the same weights."""
    found = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(21)
        for _ in range(number):
            made = copy.deepcopy(start)
            with torch.no_grad():
                for parameter in made.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            found.append(made)
    return found


@dataclass(frozen=True)
class TinySource(Source):
    """Weights that stand for pretrained ones, and differ from those of any cell's seed.

    Running statistics differ from those of new layers, so that a strategy is detected which loses
    them or lets them move.
    """

    architecture: TinyArchitecture = TinyArchitecture()
    domain: Domain | None = field(default_factory=lambda: TinyDomain(shift=0.4))

    @override
    def initial(self) -> TinyBackbone:
        return self.architecture.build()

    @override
    def load(self, maker: Maker, block_seed: int) -> TinyBackbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(20)
            backbone = self.architecture.build()
            for _ in range(20):
                backbone.embed(0.2 + torch.randn(32, 1, SIDE, SIDE))  # moves its statistics
            backbone.head_weights = classifier(self.domain, backbone.dim)
        return backbone

    @override
    def each(self, maker: Maker, block_seed: int) -> tuple[TinyBackbone, list[TinyBackbone]]:
        start = self.load(maker, block_seed)
        return start, fine_tuned(start, len(self.domain.each if self.domain else ()))
