"""Small sequential networks: for vectors, or for the inputs of another network."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs, Preprocess
from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import Backbone, Block, Change, Granularity
from transfergrid.sources.preprocessing.text import TextPreprocess
from transfergrid.sources.preprocessing.vectors import VectorPreprocess

Parts = tuple[Tensor, ...]
SMALLEST_MAP = 4
"""Feature maps of images are halved until their height and width are at most this."""


class Stage(nn.Module):
    """Layers that change the first tensor of a boundary; the other tensors pass unchanged."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, parts: Parts) -> Parts:
        """Return the next boundary."""
        return (self.layers(parts[0]), *parts[1:])


class Words(nn.Module):
    """Embeds tokens (batch, length); the embedding of padding is 0."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)

    def forward(self, parts: Parts) -> Parts:
        """Return hidden states (batch, length, width) and the mask (batch, length, 1)."""
        tokens, mask = parts
        hidden = self.table(tokens)
        real = mask.unsqueeze(-1).to(hidden.dtype)
        return hidden * real, real


class Neighbours(nn.Module):
    """A convolution over three tokens, ReLU, and the maximum over all tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, parts: Parts) -> Parts:
        """Return embeddings (batch, width), which do not depend on the amount of padding."""
        hidden, real = parts
        seen = torch.relu(self.conv(hidden.transpose(1, 2)).transpose(1, 2)) * real
        return (seen.amax(1),)


class Run(nn.Module):
    """Consecutive stages of a network, as a prefix (from inputs) or a suffix (from a boundary)."""

    def __init__(self, stages: nn.Sequential, opened_by_inputs: bool) -> None:
        super().__init__()
        self.stages, self.opened_by_inputs = stages, opened_by_inputs

    def forward(self, value: Inputs | Parts) -> Parts | Tensor:
        """Return a boundary if called on inputs, or embeddings if called on a boundary."""
        if self.opened_by_inputs:
            return cast(Parts, self.stages(unpacked(cast(Inputs, value))))
        return cast(Parts, self.stages(value))[0]


def unpacked(inputs: Inputs) -> Parts:
    """Return the boundary before block 0: images or vectors, or tokens and their mask."""
    if isinstance(inputs, dict):
        return inputs["input_ids"], inputs["attention_mask"]
    return (inputs,)


class SmallBackbone(Backbone):
    """A sequence of stages, each of which is a block.

    Args:
        stages: by name; the last one returns only the embeddings.
        architecture: see `Backbone`.
        preprocess: see `Backbone`.
        example: of its inputs.
    """

    network: nn.Sequential

    def __init__(
        self,
        stages: OrderedDict[str, nn.Module],
        architecture: str,
        preprocess: Preprocess,
        example: Inputs,
    ) -> None:
        super().__init__(nn.Sequential(stages), architecture, preprocess)
        self._example = example

    @classmethod
    def beside(cls, other: Backbone, width: int) -> SmallBackbone:
        """Return a small backbone of this width for another network's inputs.

        Raises:
            BadInputError: the inputs are neither images nor tokens nor vectors.
        """
        example, preprocess = other.example(), other.preprocess
        if isinstance(example, Tensor) and example.ndim == 4:
            stages = _of_images(example.shape[1], max(example.shape[2:]), width)
        elif isinstance(example, Tensor) and isinstance(preprocess, VectorPreprocess):
            stages = _of_vectors(preprocess.inputs, width)
        elif isinstance(example, dict) and isinstance(preprocess, TextPreprocess):
            stages = _of_texts(_vocabulary(preprocess), width)
        else:
            raise BadInputError(
                f"{other.title} takes neither images nor tokens of a tokenizer nor vectors"
            )
        made = cls(stages, f"small {width} beside {other.architecture}", preprocess, example)
        made.title, made.image_shape = "small_encoder", other.image_shape
        return made.to(next(other.parameters()).device)

    def embed(self, inputs: Inputs) -> Tensor:
        """See `Backbone.embed`."""
        return cast(Parts, self.network(unpacked(inputs)))[0]

    def example(self, batch: int = 1) -> Inputs:
        """See `Backbone.example`."""
        device = next(self.parameters()).device

        def some(part: Tensor) -> Tensor:
            return part[:1].expand(batch, *part.shape[1:]).clone().to(device)

        if isinstance(self._example, dict):
            return {name: some(part) for name, part in self._example.items()}
        return some(self._example)

    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """See `Backbone.blocks`; coarse and fine are the same."""

        def names(stage: str, named: Iterable[tuple[str, Tensor]]) -> tuple[str, ...]:
            return tuple(f"network.{stage}.{own}" for own, _ in named)

        return [
            Block(name, names(name, stage.named_parameters()), names(name, stage.named_buffers()))
            for name, stage in self.network.named_children()
        ]

    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.prefix`."""
        return Run(self.network[:k], opened_by_inputs=True)

    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.suffix`."""
        return Run(self.network[k:], opened_by_inputs=False)

    def boundaries(self, inputs: Inputs, granularity: Granularity = "coarse") -> list[Parts]:
        """See `Backbone.boundaries`."""
        found = [unpacked(inputs)]
        for stage in self.network:
            found.append(stage(found[-1]))
        return found[1:]

    def steered(
        self, inputs: Inputs, change: Change, granularity: Granularity = "coarse"
    ) -> Tensor:
        """See `Backbone.steered`."""
        parts = unpacked(inputs)
        for number, stage in enumerate(self.network):
            parts = stage((change(number, parts[0]), *parts[1:]) if number else parts)
        return parts[0]


def _of_images(channels: int, side: int, width: int) -> OrderedDict[str, nn.Module]:
    """Return stages that each halve height and width; the last one also pools by the mean."""
    number = max(1, math.ceil(math.log2(side / SMALLEST_MAP)))
    widths = [*(min(width, max(1, width // 4) * 2**i) for i in range(number - 1)), width]
    stages = OrderedDict[str, nn.Module]()
    for i, (before, after) in enumerate(zip([channels, *widths], widths, strict=False)):
        conv = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        layers = [conv, nn.GroupNorm(math.gcd(8, after), after), nn.ReLU()]
        last = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if i == number - 1 else []
        stages[f"conv{i + 1}"] = Stage(*layers, *last)
    return stages


def _of_vectors(inputs: int, width: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(hidden=Stage(nn.Linear(inputs, width), nn.ReLU()))


def _of_texts(vocabulary: int, width: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(words=Words(vocabulary, width), neighbours=Neighbours(width))


def _vocabulary(preprocess: TextPreprocess) -> int:
    """Return the number of rows that a table of the tokens needs."""
    known: dict[str, int] = preprocess.tokenizer.get_vocab()
    return 1 + max([preprocess.padding, *known.values()])
