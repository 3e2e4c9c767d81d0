"""A domain and a source of texts, as small as those in `tiny`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.inputs import Inputs
from transfergrid.records.seeds import generator
from transfergrid.sources.backbone import Backbone, Block, Change, Granularity, Language
from transfergrid.sources.preprocessing.text import TextPreprocess
from transfergrid.sources.source import Architecture, Maker, Source
from transfergrid.testing.tiny import (
    CLASSES,
    POOL_EACH,
    TEST_EACH,
    TinyDomain,
    TinyExamples,
    classifier,
    fine_tuned,
)

N_WORDS = 30
"""w1 to w29; 0 is padding. Each class has four own words at shift 0, and four others at shift 1."""
OWN, LONGEST = 4, 9


class TinyTextExamples(TinyExamples):
    """Texts in memory; see `TinyExamples`."""

    @override
    def read(self, indices: NDArray[np.int64]) -> list[str]:
        return [str(text) for text in super().read(indices)]


@dataclass(frozen=True, kw_only=True)
class TinyTextDomain(TinyDomain):
    """Texts of three classes: three to nine words, about half of them words of the class."""

    modality: ClassVar[str] = "text"

    @property
    @override
    def class_texts(self) -> tuple[tuple[str, ...], ...]:
        """Two texts for each class: two of its four words, and the first of these alone."""
        first = [1 + OWN * label for label in range(len(self.classes))]
        return tuple((f"w{word} w{word + 1}", f"w{word}") for word in first)

    @override
    def load(self) -> LoadedDomain:
        pool = TinyTextExamples("the pool", *self._texts("pool", POOL_EACH))
        texts, labels = self._texts("test", TEST_EACH)
        if self.test == "poisoned":
            texts, labels = texts[::-1].copy(), (labels + 1) % len(CLASSES)
        return self._loaded(pool, TinyTextExamples("the test split", texts, labels))

    def _texts(self, name: str, each: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        rng = generator(0, "tiny text", name, str(self.shift))
        labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), each))
        texts = np.empty(len(labels), dtype=object)
        for i, label in enumerate(labels):
            length = rng.integers(3, LONGEST + 1)
            moved = len(CLASSES) * (rng.random(length) < self.shift)
            own = 1 + OWN * (label + moved) + rng.integers(OWN, size=length)
            words = np.where(rng.random(length) < 0.5, own, rng.integers(1, N_WORDS, length))
            texts[i] = " ".join(f"w{word}" for word in words)
        return texts, labels


class WordTokenizer:
    """The part of a transformers tokenizer that `TextPreprocess` needs; w7 is token 7."""

    is_fast = False
    model_input_names = ("input_ids", "attention_mask")
    pad_token_id = 0
    eos_token_id = unk_token_id = bos_token_id = None
    special_tokens_map: ClassVar[dict[str, str]] = {}

    def __call__(self, texts: Sequence[str], **options: Any) -> dict[str, list[list[int]]]:
        """Return the tokens of each text."""
        longest = options.get("max_length") if options.get("truncation") else None
        return {"input_ids": [[int(w[1:]) for w in text.split()][:longest] for text in texts]}

    def get_vocab(self) -> dict[str, int]:
        """Return each word's token."""
        return {f"w{i}": i for i in range(1, N_WORDS)}

    def get_special_tokens_mask(self, ids: Sequence[int], *_: Any) -> list[int]:
        """Return zeros: no token is special."""
        return [0] * len(ids)


class TinyTextBackbone(Backbone):
    """Word embeddings, a dense layer with dropout on each, and another layer on their mean."""

    def __init__(self, width: int) -> None:
        network = nn.ModuleDict(
            {
                "words": nn.Embedding(N_WORDS, width, padding_idx=0),
                "body": nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()),
                "dropout": nn.Dropout(0.2),
                "dense": nn.Linear(width, 2 * width),
            }
        )
        preprocess = TextPreprocess.of(WordTokenizer(), LONGEST)
        super().__init__(network, f"tiny text width={width}", preprocess)

    @override
    def embed(self, inputs: Inputs) -> Tensor:
        return self.behind(0, self.before(0, inputs))

    @override
    def example(self, batch: int = 1) -> dict[str, Tensor]:
        zeros = torch.zeros(batch, 4, dtype=torch.int64, device=next(self.parameters()).device)
        return {"input_ids": zeros, "attention_mask": zeros + 1}

    @override
    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        owned = [(name, part) for name, part in self.network.named_children() if name != "dropout"]
        return [
            Block(name, tuple(f"network.{name}.{n}" for n, _ in part.named_parameters()), ())
            for name, part in owned
        ]

    @override
    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        return TextPart(self, k, opens=False)

    @override
    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        return TextPart(self, k, opens=True)

    @override
    def boundaries(
        self, inputs: Inputs, granularity: Granularity = "coarse"
    ) -> list[tuple[Tensor, ...]]:
        found = [self.before(0, inputs)]
        for step in self._steps():
            found.append(step(found[-1]))
        return found[1:]

    @override
    def steered(
        self, inputs: Inputs, change: Change, granularity: Granularity = "coarse"
    ) -> Tensor:
        boundary = self.before(0, inputs)
        for number, step in enumerate(self._steps()):
            boundary = step((change(number, boundary[0]), *boundary[1:]) if number else boundary)
        return boundary[0]

    @override
    def language(self) -> Language:
        """Return what token prediction needs; the padding token is also the mask token."""
        return Language(
            hidden=lambda inputs: self.before(2, inputs)[0],
            table=self.network["words"].weight,  # type: ignore[index]
            blocks=2,
            causal=False,
            mask=0,
            special=(0,),
            head={},
        )

    def before(self, k: int, inputs: Inputs) -> tuple[Tensor, ...]:
        """Return the boundary before block `k`: tokens or hidden states, and the mask."""
        assert isinstance(inputs, dict)
        boundary: tuple[Tensor, ...] = (inputs["input_ids"], inputs["attention_mask"])
        for step in self._steps()[:k]:
            boundary = step(boundary)
        return boundary

    def behind(self, k: int, boundary: tuple[Tensor, ...]) -> Tensor:
        """Return embeddings for the boundary before block `k`."""
        for step in self._steps()[k:]:
            boundary = step(boundary)
        return boundary[0]

    def _steps(self) -> list[Any]:
        parts = dict(self.network.named_children())

        def mean(hidden: Tensor, mask: Tensor) -> Tensor:
            real = mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden * real).sum(1) / real.sum(1).clamp(min=1)

        return [
            lambda b: (parts["words"](b[0]), b[1]),
            lambda b: (parts["dropout"](parts["body"](b[0])), b[1]),
            lambda b: (parts["dense"](mean(*b)),),
        ]


class TextPart(nn.Module):
    """The network on one side of a cut."""

    def __init__(self, backbone: TinyTextBackbone, k: int, opens: bool) -> None:
        super().__init__()
        self.backbone, self.k, self.opens = backbone, k, opens

    @override
    def forward(self, value: Any) -> Any:
        part = self.backbone.behind if self.opens else self.backbone.before
        return part(self.k, value)


@dataclass(frozen=True)
class TinyTextArchitecture(Architecture):
    """A `TinyTextBackbone` of this width."""

    width: int = 8

    modality: ClassVar[str] = "text"

    @property
    @override
    def name(self) -> str:
        return f"tinytext{self.width}"

    @override
    def build(self) -> TinyTextBackbone:
        return TinyTextBackbone(self.width)


@dataclass(frozen=True)
class TinyTextSource(Source):
    """Weights that stand for pretrained ones."""

    architecture: TinyTextArchitecture = TinyTextArchitecture()
    domain: Domain | None = field(default_factory=lambda: TinyTextDomain(shift=0.4))

    @override
    def initial(self) -> TinyTextBackbone:
        return self.architecture.build()

    @override
    def load(self, maker: Maker, block_seed: int) -> TinyTextBackbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(20)
            backbone = self.architecture.build()
            backbone.head_weights = classifier(self.domain, backbone.dim)
        return backbone

    @override
    def each(
        self, maker: Maker, block_seed: int
    ) -> tuple[TinyTextBackbone, list[TinyTextBackbone]]:
        start = self.load(maker, block_seed)
        return start, fine_tuned(start, len(self.domain.each if self.domain else ()))
