"""A backbone without some of its blocks: what comes before a cut, or a new stem and the rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.sources.backbone import Backbone, Block, Granularity, evaluating


class PartOfBackbone(Backbone):
    """Some blocks of a backbone, which share their tensors with it; it is cut nowhere else.

    Args:
        network: what it is made of.
        whole: the backbone.
        kept: numbers, from 0, of the blocks that are in it.
        granularity: of these blocks.
        title: what else there is to say of it.
    """

    def __init__(
        self,
        network: nn.Module,
        whole: Backbone,
        kept: Sequence[int],
        granularity: Granularity,
        title: str,
    ) -> None:
        super().__init__(network, f"{whole.architecture}, {title}", whole.preprocess)
        self.title, self.image_shape, self.ways = whole.title, whole.image_shape, whole.ways
        self._whole = (whole,)  # in a tuple: no part of this one
        blocks = whole.blocks(granularity)
        theirs = {n for i in kept for n in (*blocks[i].parameters, *blocks[i].buffers)}
        place = {id(tensor): name for name, tensor in _tensors(whole).items() if name in theirs}
        self._own_names: dict[str, str] = {}
        for name, tensor in _tensors(self).items():
            if id(tensor) in place:  # its first name here: that is what torch calls it
                self._own_names.setdefault(place[id(tensor)], name)

    def kept_blocks(self, granularity: Granularity) -> list[Block]:
        """Return the blocks of the whole, or what is left of them, by their names here."""
        (whole,) = self._whole
        known = self._own_names
        left = [
            Block(
                block.name,
                tuple(known[name] for name in block.parameters if name in known),
                tuple(known[name] for name in block.buffers if name in known),
            )
            for block in whole.blocks(granularity)
        ]
        return [block for block in left if block.parameters or block.buffers]

    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """See `Backbone.blocks`."""
        return self.kept_blocks(granularity)

    def example(self, batch: int = 1) -> Inputs:
        """See `Backbone.example`."""
        (whole,) = self._whole
        inputs, device = whole.example(batch), next(self.parameters()).device
        if isinstance(inputs, Tensor):
            return inputs.to(device)
        return {name: value.to(device) for name, value in inputs.items()}

    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.prefix`; only for none of the blocks and for all."""
        raise self._uncut()

    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.suffix`; only for none of the blocks and for all."""
        raise self._uncut()

    def boundaries(
        self, inputs: Inputs, granularity: Granularity = "coarse"
    ) -> list[tuple[Tensor, ...]]:
        """See `Backbone.boundaries`."""
        raise self._uncut()

    def vocabulary(self) -> str:
        """See `Backbone.vocabulary`."""
        (whole,) = self._whole
        return whole.vocabulary()

    def take_vocabulary(self, told: str) -> None:
        """See `Backbone.take_vocabulary`: the table of embeddings is the whole's."""
        (whole,) = self._whole
        whole.take_vocabulary(told)
        self.preprocess = whole.preprocess

    def _uncut(self) -> BadInputError:
        return BadInputError(f"{self.architecture} is cut already, and is cut nowhere else")


class BeforeCut(PartOfBackbone):
    """The blocks before a cut. An embedding is the mean over the places of the hidden state.

    Args:
        whole: the backbone.
        k: of the blocks, how many; from 1 to one less than all.
        granularity: of these blocks.

    Raises:
        ImpossibleError: more than one hidden state crosses the cut.
    """

    def __init__(self, whole: Backbone, k: int, granularity: Granularity) -> None:
        crossing(whole, k, granularity)
        network = whole.prefix(k, granularity)
        super().__init__(network, whole, range(k), granularity, f"{granularity} blocks 1 to {k}")

    def embed(self, inputs: Inputs) -> Tensor:
        """See `Backbone.embed`."""
        hidden: Tensor = self.network(inputs)[0]
        if hidden.ndim == 4:
            return hidden.mean(dim=(1, 2) if _channels_are_last(hidden.shape[1:]) else (2, 3))
        if hidden.ndim < 3:
            return hidden
        if isinstance(inputs, Tensor):
            return hidden.mean(dim=1)
        real = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return (hidden * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


class BehindCut(PartOfBackbone):
    """The blocks behind a cut, on a stem that leads there from the inputs.

    The stem is the backbone's own first block where it gives what crosses the cut: then only what
    lies between is left out. Else, for images, it is new: a convolution to maps of that number and
    size, BatchNorm and ReLU.

    Args:
        whole: the backbone.
        k: number, from 1, of the first block behind the cut.
        granularity: of these blocks.

    Raises:
        ImpossibleError: nothing leads there.
    """

    def __init__(self, whole: Backbone, k: int, granularity: Granularity) -> None:
        wanted = crossing(whole, k, granularity)
        own = k > 1 and wanted == crossing(whole, 1, granularity)
        stem = whole.prefix(1, granularity) if own else _new_stem(whole, wanted, k)
        parts = nn.ModuleDict({"stem": stem, "rest": whole.suffix(k, granularity)})
        kept = [*([0] if own else []), *range(k, len(whole.blocks(granularity)))]
        title = f"{'' if own else 'new '}stem and {granularity} blocks from {k + 1}"
        super().__init__(parts, whole, kept, granularity, title)
        self.is_new = not own
        """Whether the stem is."""

    def embed(self, inputs: Inputs) -> Tensor:
        """See `Backbone.embed`."""
        assert isinstance(self.network, nn.ModuleDict)
        made = self.network["stem"](inputs)
        embedded: Tensor = self.network["rest"]((made,) if self.is_new else made)
        return embedded

    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """See `Backbone.blocks`; a new stem is one block."""
        kept = self.kept_blocks(granularity)
        if not self.is_new:
            return kept
        assert isinstance(self.network, nn.ModuleDict)
        stem, before = self.network["stem"], "network.stem."
        parameters = tuple(before + name for name, _ in stem.named_parameters())
        return [
            Block("stem", parameters, tuple(before + n for n, _ in stem.named_buffers())),
            *kept,
        ]


def crossing(backbone: Backbone, k: int, granularity: Granularity) -> list[tuple[int, ...]]:
    """Return the shapes of what crosses the cut before block `k`, of one example.

    Raises:
        ImpossibleError: more than one hidden state does, as inside a block with a skip connection.
    """
    with evaluating(backbone), torch.no_grad():
        made = backbone.prefix(k, granularity)(backbone.example(1))
    if sum(part.is_floating_point() for part in made) > 1:
        raise ImpossibleError(
            f"{backbone.title} has more than one hidden state before {granularity} block {k + 1}: "
            "cut it elsewhere"
        )
    return [tuple(part.shape[1:]) for part in made]


def _new_stem(whole: Backbone, wanted: Sequence[tuple[int, ...]], k: int) -> nn.Module:
    inputs, sides = whole.example(1), wanted[0][1:]
    shape = tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else ()
    of_maps = len(sides) == 2 and not _channels_are_last(wanted[0])
    if not of_maps or len(shape) != 3 or shape[1] < sides[0] or shape[2] < sides[1]:
        raise ImpossibleError(
            f"{whole.title} has no stem that leads to block {k + 1}: what comes first cannot be "
            "dropped here, but re-initialised"
        )
    strides = [a // b for a, b in zip(shape[1:], sides, strict=True)]
    sizes = [a - (b - 1) * s for a, b, s in zip(shape[1:], sides, strides, strict=True)]
    maps = wanted[0][0]
    reading = nn.Conv2d(shape[0], maps, (sizes[0], sizes[1]), (strides[0], strides[1]), bias=False)
    return nn.Sequential(reading, nn.BatchNorm2d(maps), nn.ReLU())


def _channels_are_last(shape: Sequence[int]) -> bool:
    """Return whether a map's first two sides are its square, as in Swin transformers."""
    return shape[0] == shape[1] != shape[2]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name."""
    found: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    return found | dict(module.named_buffers(remove_duplicate=False))
