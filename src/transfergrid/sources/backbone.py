"""What every backbone offers, whatever library it is from."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs, Preprocess, Raw
from transfergrid.records.errors import BadInputError, ImpossibleError, as_line

Granularity: TypeAlias = Literal["fine", "coarse"]
Change: TypeAlias = Callable[[int, Tensor], Tensor]
"""Of the number of a block and the hidden state before it: another hidden state."""
_ODD = (TypeError, AttributeError, ZeroDivisionError, NotImplementedError)
"""What networks raise on inputs that they were not made for, beside what says so."""


@dataclass(frozen=True)
class Block:
    """A stretch of layers, by the names that the backbone gives its parameters and buffers."""

    name: str
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """What a backbone of texts has for predicting tokens.

    Attributes:
        hidden: gives the last hidden states of inputs, (batch, tokens, width).
        table: the tokens' embeddings, (tokens, width), a parameter of the backbone.
        blocks: fine blocks that hidden states come through, from the first on.
        causal: whether a token is seen by those after it alone.
        mask: the token that stands for a hidden one; None where there is none.
        special: tokens that are no text, sorted.
        head: of the head that the weights came with: `dense.weight`, `dense.bias`, `norm.weight`,
            `norm.bias` and `bias`, as BERT has them; empty where there was none.
    """

    hidden: Callable[[Inputs], Tensor]
    table: nn.Parameter
    blocks: int
    causal: bool
    mask: int | None
    special: tuple[int, ...]
    head: Mapping[str, Tensor]


@dataclass(frozen=True)
class Words:
    """What a backbone has for texts that stand in one space with what it embeds.

    Attributes:
        preprocess: makes inputs of texts.
        embed: gives their embeddings (batch, dim).
    """

    preprocess: Preprocess
    embed: Callable[[Inputs], Tensor]


class Backbone(nn.Module, ABC):
    """Layers that turn inputs into embeddings.

    Attributes:
        network: the library's own module, without a head; weight files bear its names.
        head_names: submodules of `network` that would be its classifier, had it one.
        architecture: canonical text of everything about it that is not weights.
        preprocess: makes its inputs.
        title: its name in messages, where that is shorter.
        head_weights: tensors that its weights held for a classifier, by name; no part of it.
        notes: plain values for a cell's record, such as which weights were left out.
        image_shape: channels, height and width of its inputs, where these are images.
        channel_axes: of what crosses each cut, where that was measured.
        ways: how another "size" and number of "channels" is asked for, with `{}` for the number.
    """

    network: nn.Module
    former_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Patterns in the names that old weight files bear, and what stands for them now."""
    image_shape: tuple[int, int, int] | None = None
    ways: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        network: nn.Module,
        architecture: str,
        preprocess: Preprocess,
        head_names: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.architecture = architecture
        self.preprocess = preprocess
        self.head_names = head_names
        self.notes: dict[str, Any] = {}
        self.head_weights: dict[str, Tensor] = {}
        self.title = architecture
        self._dim: int | None = None
        self.channel_axes: dict[Granularity, tuple[int, ...]] = {}

    @abstractmethod
    def embed(self, inputs: Inputs) -> Tensor:
        """Return embeddings (batch, dim)."""

    @abstractmethod
    def example(self, batch: int = 1) -> Inputs:
        """Return inputs of the right shape, all zero, on the weights' device."""

    @abstractmethod
    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """Return its layers from input to output; each parameter and buffer is in one of them."""

    @abstractmethod
    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """Return the part before block `k`: from inputs to the boundary, a tuple of tensors.

        Its parameters are the backbone's own. At `k` = 0 the boundary is the inputs.
        """

    @abstractmethod
    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """Return the part from block `k` on: from the boundary to embeddings (batch, dim).

        `suffix(k)(prefix(k)(inputs))` equals `embed(inputs)` exactly.
        """

    @abstractmethod
    def boundaries(
        self, inputs: Inputs, granularity: Granularity = "coarse"
    ) -> list[tuple[Tensor, ...]]:
        """Return what crosses each cut, from the one before block 1 to the end, in one pass.

        Number `k` - 1 is what `prefix(k)` gives; its first tensor is the hidden state, a map
        (batch, channels, height, width) or tokens (batch, tokens, width), and the last boundary
        holds the embeddings alone. Whatever a pass moves or draws, it moves and draws once.
        """

    @contextmanager
    def rebuilding(self) -> Iterator[None]:
        """Let modules of `network` be wrapped, or given further parts, while inside.

        The blocks stay the same ones; what is new belongs to the block of the place where it is.
        """
        yield

    def vocabulary(self) -> str:
        """Return what makes tokens of its texts, itself as text.

        Raises:
            ImpossibleError: it takes no texts, or its tokenizer is of a kind that cannot be told.
        """
        raise ImpossibleError(f"{self.title} takes no texts: it has no vocabulary")

    def learned_vocabulary(self, texts: Callable[[], Raw], size: int) -> str:
        """Return another vocabulary for it, which is learned from these texts.

        Args:
            texts: asked for once.
            size: tokens that it has at most, unless the texts' characters alone are more.

        Raises:
            ImpossibleError: see `vocabulary`.
        """
        return self.vocabulary()

    def read_vocabulary(self, folder: str) -> str:
        """Return another vocabulary for it, which stands in a folder.

        Raises:
            BadInputError: it cannot be read.
            ImpossibleError: see `vocabulary`; or it has no token that fills up a batch.
        """
        return self.vocabulary()

    def take_vocabulary(self, told: str) -> None:
        """Take another vocabulary: a new `preprocess`, and embeddings to match; `notes` say so."""
        self.vocabulary()

    def steered(
        self, inputs: Inputs, change: Change, granularity: Granularity = "coarse"
    ) -> Tensor:
        """Return embeddings (batch, dim) of a pass in which what enters blocks is changed.

        Args:
            inputs: as `embed` takes them.
            change: of the number of a block, from 1, and the hidden state that would enter it, the
                first tensor of its boundary; returns what enters instead, of the same shape.
            granularity: of the blocks.

        Raises:
            ImpossibleError: nothing can come between the blocks of this network.
        """
        raise ImpossibleError(f"{self.title}: nothing can come between its blocks")

    def language(self) -> Language | None:
        """Return what predicts tokens; None where inputs are no texts."""
        return None

    def words(self) -> Words | None:
        """Return what embeds texts beside its inputs: itself of texts; None where nothing does."""
        return Words(self.preprocess, self.embed) if isinstance(self.example(), dict) else None

    def forward(self, inputs: Inputs) -> Tensor:
        """Return `embed(inputs)`."""
        return self.embed(inputs)

    @property
    def dim(self) -> int:
        """The embeddings' width, measured by a forward pass when first asked for.

        Raises:
            BadInputError: it gives anything but one vector per example.
        """
        if self._dim is None:
            shape = self._shape()
            if len(shape) != 2:
                raise BadInputError(
                    f"{self.architecture} gives outputs of shape {shape} for one example; "
                    "a backbone must give (1, dim)"
                )
            self._dim = shape[1]
        return self._dim

    def _shape(self) -> tuple[int, ...]:
        try:
            with evaluating(self), torch.no_grad():
                return tuple(self.embed(self.example()).shape)
        except (RuntimeError, ValueError, AssertionError, LookupError, *_ODD) as error:
            reason = as_line(error, 200)
            shape = self.image_shape
            pixels = f"images of {shape[-1]} pixels" if shape else "its own example inputs"
            way = f"; {self.ways['size'].format('PIXELS')}" if "size" in self.ways else ""
            raise BadInputError(f"{self.title} takes no {pixels}: {reason}{way}") from error

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that stand for architecture and weights."""
        digest = hashlib.sha256(self.architecture.encode())
        for name, tensor in sorted(self.state_dict().items()):
            plain = tensor.detach().cpu().contiguous()
            digest.update(f"\n{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            digest.update(plain.reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()[:16]


@contextmanager
def evaluating(module: nn.Module, training: bool = False) -> Iterator[None]:
    """Put a module in eval mode (or train mode) and each of its parts back as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def last_module(backbone: Backbone, block: Block) -> nn.Module | None:
    """Return the module whose output is the block's: all of its layers, or else its last one."""
    owners: defaultdict[str, int] = defaultdict(int)
    for name, _ in (*backbone.named_parameters(), *backbone.named_buffers()):
        for path in _above(name):
            owners[path] += 1
    own: defaultdict[str, int] = defaultdict(int)
    for name in (*block.parameters, *block.buffers):
        for path in _above(name):
            own[path] += 1
    inside = [path for path, count in own.items() if count == owners[path]]
    if not inside:
        return None
    outermost = [path for path in inside if path.rpartition(".")[0] not in inside]
    return backbone.get_submodule(outermost[-1])


def _above(name: str) -> list[str]:
    """Return "a" and "a.b" for "a.b.c": the modules around a tensor."""
    parts = name.split(".")[:-1]
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
