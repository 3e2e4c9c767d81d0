"""A backbone without some of its blocks: those before a cut, or a stem and those after the cut."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.sources.backbone import Backbone, Block, Granularity, evaluating


class PartOfBackbone(Backbone):
    """Some blocks of a backbone, which share their tensors with it; it cannot be cut again.

    Args:
        network: the module of these blocks.
        whole: the backbone.
        kept: numbers, from 0, of the kept blocks.
        granularity: of these blocks.
        title: describes the part; added to the architecture's text.
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
        self._whole = (whole,)  # in a tuple, so that it is not registered as a submodule
        blocks = whole.blocks(granularity)
        theirs = {n for i in kept for n in (*blocks[i].parameters, *blocks[i].buffers)}
        place = {id(tensor): name for name, tensor in _tensors(whole).items() if name in theirs}
        self._own_names: dict[str, str] = {}
        for name, tensor in _tensors(self).items():
            if id(tensor) in place:  # its first name here, the one that torch reports
                self._own_names.setdefault(place[id(tensor)], name)

    def kept_blocks(self, granularity: Granularity) -> list[Block]:
        """Return the whole's blocks as far as they are kept, with the tensors' names here."""
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
        """Raise `BadInputError`: it cannot be cut again."""
        raise self._uncut()

    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """Raise `BadInputError`: it cannot be cut again."""
        raise self._uncut()

    def boundaries(
        self, inputs: Inputs, granularity: Granularity = "coarse"
    ) -> list[tuple[Tensor, ...]]:
        """Raise `BadInputError`: it cannot be cut again."""
        raise self._uncut()

    def vocabulary(self) -> str:
        """See `Backbone.vocabulary`."""
        (whole,) = self._whole
        return whole.vocabulary()

    def take_vocabulary(self, told: str) -> None:
        """See `Backbone.take_vocabulary`; it changes the whole, which has the same embeddings."""
        (whole,) = self._whole
        whole.take_vocabulary(told)
        self.preprocess = whole.preprocess

    def _uncut(self) -> BadInputError:
        return BadInputError(f"{self.architecture} is cut already, and is cut nowhere else")


class BeforeCut(PartOfBackbone):
    """The blocks before a cut. An embedding is the hidden state's mean over all positions.

    Args:
        whole: the backbone.
        k: the number of blocks before the cut, at least 1 and less than all.
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
    """The blocks after a cut, on a stem that maps the inputs to the boundary there.

    If the output of the backbone's first block has the shapes of that boundary, this block is the
    stem, and only the blocks in between are left out. Otherwise, for images, the stem is new: a
    convolution to feature maps of the boundary's number and size, BatchNorm and ReLU.

    Args:
        whole: the backbone.
        k: number, from 1, of the first block after the cut.
        granularity: of these blocks.

    Raises:
        ImpossibleError: no such stem exists, or more than one hidden state crosses the cut.
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
        """Whether the stem is new."""

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
    """Return the shapes, for one example, of the tensors that cross the cut before block `k`.

    Raises:
        ImpossibleError: more than one hidden state crosses it, as inside a skip connection.
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
    """Return whether a map is (side, side, channels), as in Swin transformers."""
    return shape[0] == shape[1] != shape[2]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, shared ones under each of their names."""
    found: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    return found | dict(module.named_buffers(remove_duplicate=False))
