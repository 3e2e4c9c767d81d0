"""The base of pretext tasks: they learn from inputs without labels; only the backbone is kept."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from transfergrid.data.batches import StreamName
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies import Batch, Group, Needs, Objective, Phase, Sizes, Strategy

WIDTH = 128
"""Default width of the layers that are dropped afterwards."""
RECENT = 0.9
"""Decay of the running means of noted values: the share kept at each step."""


class Pretext(Strategy):
    """A task that inputs set by themselves; what else learns with the backbone is the scaffold's.

    A subclass makes its parts in `make`, defines its `loss`, and notes the values in `finds`.
    """

    needs = Needs("start", "unused", unlabelled=True)
    moves_statistics = True
    reads: ClassVar[StreamName] = "unlabelled"
    """The stream: `unlabelled`, or `views` for two of each input: augmented as in training, and
    strongly."""
    finds: ClassVar[tuple[str, ...]] = ()
    """Names of the values that it reports of its last steps."""

    def build(self, sizes: Sizes) -> None:
        """Make the task's own parts, and no head."""
        self.head = nn.Identity()
        self.make()
        self.scaffold.register_buffer("found", torch.full((len(self.finds),), torch.nan))

    def make(self) -> None:
        """Make, in the scaffold, the modules that learn with the backbone and are then dropped."""
        raise NotImplementedError

    def phases(self) -> list[Phase]:
        """Return one phase, in which nothing validates."""
        learns = [self.backbone_group(), *self.others()]
        steps = [Objective(self.loss, learns)]
        return [Phase(self.name, steps, reads=[self.reads], cached=False, judged=False)]

    @property
    def name(self) -> str:
        """The task's name as it is typed: the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    def others(self) -> list[Group]:
        """Return the parameter groups that learn beside the backbone."""
        return [Group(name, part.parameters()) for name, part in self.scaffold.items()]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the mean loss over a batch's inputs."""
        raise NotImplementedError

    def note(self, **found: Tensor) -> None:
        """Update the running means of the values in `finds`."""
        kept = self.scaffold.get_buffer("found")
        for name, value in found.items():
            place, now = self.finds.index(name), value.detach().to(kept)
            before = torch.where(kept[place].isnan(), now, kept[place])
            kept[place] = RECENT * before + (1 - RECENT) * now

    def tells(self) -> dict[str, Any]:
        """Return the running means of the values in `finds`."""
        told = self.scaffold.get_buffer("found").tolist()
        return dict(zip(self.finds, told, strict=True))


def dense(*widths: int, batch_norm: bool = False) -> nn.Sequential:
    """Return dense layers with ReLU between them, and with BatchNorm before each ReLU if asked."""
    parts: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        norm = [nn.BatchNorm1d(after)] if batch_norm else []
        parts += [nn.Linear(before, after, bias=not batch_norm), *norm, nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(widths[-2], widths[-1]))


def pixels_of(backbone: Backbone) -> tuple[int, int]:
    """Return the height and width of the images that a network takes."""
    example = backbone.example()
    assert isinstance(example, Tensor)
    height, width = example.shape[-2:]
    return int(height), int(width)


def images_of(batch: Batch) -> Tensor:
    """Return a batch's inputs, (batch, channels, height, width) or (batch, numbers)."""
    assert isinstance(batch.unlabelled, Tensor)
    return batch.unlabelled
