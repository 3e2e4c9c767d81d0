"""The interface of every backbone, whatever library it comes from."""

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
"""Maps the number of a block and the hidden state before it to another hidden state."""
_ODD = (TypeError, AttributeError, ZeroDivisionError, NotImplementedError)
"""Unspecific exceptions that networks raise, beside others, on inputs of a wrong shape."""


@dataclass(frozen=True)
class Block:
    """Some consecutive layers, given by the backbone's names of their parameters and buffers."""

    name: str
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """The parts of a text backbone that language modelling needs.

    Attributes:
        hidden: returns the last hidden states of inputs, (batch, tokens, width).
        table: the tokens' embeddings, (tokens, width), a parameter of the backbone.
        blocks: how many fine blocks, from the first on, compute the hidden states.
        causal: whether each token attends to itself and to earlier tokens only.
        mask: the number of the mask token; None where there is none.
        special: numbers of the special tokens, sorted.
        head: tensors of the language-modelling head that came with the weights: `dense.weight`,
            `dense.bias`, `norm.weight`, `norm.bias` and `bias`, as in BERT; empty without one.
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
    """A text encoder whose embeddings share one space with the backbone's own.

    Attributes:
        preprocess: makes its inputs from texts.
        embed: returns their embeddings (batch, dim).
    """

    preprocess: Preprocess
    embed: Callable[[Inputs], Tensor]


class Backbone(nn.Module, ABC):
    """A network without a head that turns inputs into embeddings.

    Attributes:
        network: the library's own module, without a head; weight files use its parameter names.
        head_names: names in `network` of its classifier's submodules, which are not there.
        architecture: canonical text of everything about the backbone but its weights.
        preprocess: makes its inputs.
        title: its name in messages, often shorter than `architecture`.
        head_weights: tensors of a classifier that came with its weights, by name; not part of it.
        notes: plain values for a cell's record, such as which weights were left out.
        image_shape: channels, height and width of its inputs; None unless these are images.
        channel_axes: the channel axis of the hidden state at each cut, where that was measured.
        ways: for messages: the setting that changes the input "size", and the one that changes
            the number of "channels", with `{}` in place of the number.
    """

    network: nn.Module
    former_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Patterns of parameter names in old weight files, and their replacements."""
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
        """Return inputs of the right shape, for a trial forward pass, on the weights' device."""

    @abstractmethod
    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """Return its blocks from input to output; each parameter and buffer is in exactly one."""

    @abstractmethod
    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """Return the part before block `k`, a module from inputs to the boundary there.

        A boundary is the tuple of tensors that cross a cut. The parameters are shared with the
        backbone. At `k` = 0 the boundary is the inputs.
        """

    @abstractmethod
    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """Return the part from block `k` on, a module from the boundary to embeddings (batch, dim).

        `suffix(k)(prefix(k)(inputs))` equals `embed(inputs)` exactly.
        """

    @abstractmethod
    def boundaries(
        self, inputs: Inputs, granularity: Granularity = "coarse"
    ) -> list[tuple[Tensor, ...]]:
        """Return the boundaries of all cuts, from the one before block 1 to the end, in one pass.

        Number `k` - 1 is the output of `prefix(k)`; its first tensor is the hidden state, a map
        (batch, channels, height, width) or tokens (batch, tokens, width). The last boundary holds
        the embeddings only. As in any forward pass, running statistics are updated and dropout is
        drawn once.
        """

    @contextmanager
    def rebuilding(self) -> Iterator[None]:
        """Allow the caller, inside the context, to wrap modules of `network` or to add some.

        The blocks stay the same; a new module belongs to the block in which it is placed.
        """
        yield

    def vocabulary(self) -> str:
        """Return its tokenizer, serialised as text.

        Raises:
            ImpossibleError: it takes no texts, or its tokenizer is of a kind that cannot be
                serialised.
        """
        raise ImpossibleError(f"{self.title} takes no texts: it has no vocabulary")

    def learned_vocabulary(self, texts: Callable[[], Raw], size: int) -> str:
        """Return another vocabulary for it, learned from these texts, serialised as text.

        Args:
            texts: returns the texts; called once.
            size: the largest number of tokens, unless the texts have more distinct characters.

        Raises:
            ImpossibleError: see `vocabulary`.
        """
        return self.vocabulary()

    def read_vocabulary(self, folder: str) -> str:
        """Return another vocabulary for it, read from a folder, serialised as text.

        Raises:
            BadInputError: it cannot be read.
            ImpossibleError: see `vocabulary`; or it has no padding token.
        """
        return self.vocabulary()

    def take_vocabulary(self, told: str) -> None:
        """Replace the vocabulary by a serialised one.

        This changes `preprocess` and the table of token embeddings, and adds a note to `notes`.
        """
        self.vocabulary()

    def steered(
        self, inputs: Inputs, change: Change, granularity: Granularity = "coarse"
    ) -> Tensor:
        """Return embeddings (batch, dim) of a forward pass that changes the input of each block.

        Args:
            inputs: as `embed` takes them.
            change: is called with the number of a block, from 1, and the hidden state before it
                (the first tensor of the boundary); returns a replacement of the same shape.
            granularity: of the blocks.

        Raises:
            ImpossibleError: the hidden states between this network's blocks cannot be changed.
        """
        raise ImpossibleError(f"{self.title}: nothing can come between its blocks")

    def language(self) -> Language | None:
        """Return the parts for language modelling; None where inputs are no texts."""
        return None

    def words(self) -> Words | None:
        """Return the text encoder of its embedding space; None if it has none.

        A text backbone is its own text encoder.
        """
        return Words(self.preprocess, self.embed) if isinstance(self.example(), dict) else None

    def forward(self, inputs: Inputs) -> Tensor:
        """Return `embed(inputs)`."""
        return self.embed(inputs)

    @property
    def dim(self) -> int:
        """The embeddings' width, measured by a forward pass when first asked for.

        Raises:
            BadInputError: the forward pass fails, or returns anything but one vector per example.
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
        """Return a hash of architecture and weights, 16 hexadecimal digits."""
        digest = hashlib.sha256(self.architecture.encode())
        for name, tensor in sorted(self.state_dict().items()):
            plain = tensor.detach().cpu().contiguous()
            digest.update(f"\n{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            digest.update(plain.reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()[:16]


@contextmanager
def evaluating(module: nn.Module, training: bool = False) -> Iterator[None]:
    """Put a module into eval mode (or train mode); restore each submodule's mode at the end."""
    modes = [(part, part.training) for part in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def last_module(backbone: Backbone, block: Block) -> nn.Module | None:
    """Return the module that computes the block's output.

    That is the module of the whole block, or else the last of the modules that it consists of.
    None if no module lies wholly inside the block.
    """
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
    """Return "a" and "a.b" for "a.b.c": the paths of the modules that contain a tensor."""
    parts = name.split(".")[:-1]
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
