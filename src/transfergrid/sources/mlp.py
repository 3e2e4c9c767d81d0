"""Networks of dense layers for vectors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval, MinLen, doc

from transfergrid.records.arguments import Count
from transfergrid.records.errors import BadInputError
from transfergrid.sources.source import Architecture

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.sources.backbone import Backbone

Widths = Count | Annotated[Sequence[Count], MinLen(1), doc("a list of widths")]
Dropout = Annotated[float, Interval(ge=0, lt=1)]
DEPTH = 2
"""Number of layers by default, if `widths` is a single number."""


@dataclass(frozen=True)
class MLP(Architecture):
    """Dense layers with ReLU, each of them a block; the last layer's outputs are the embedding.

    Attributes:
        inputs: length of the input vectors.
        widths: of the layers: one number for all, or one for each.
        depth: number of layers; by default the number of widths, or 2 if one width is given.
        batch_norm: BatchNorm between each layer and its ReLU.
        dropout: share of each layer's outputs that are set to 0 in training.
    """

    inputs: Count
    widths: Widths = 64
    depth: Count | None = None
    batch_norm: bool = False
    dropout: Dropout = 0.0

    modality: ClassVar[str] = "vector"

    def __post_init__(self) -> None:
        """See `Part`; widths and depth must agree."""
        super().__post_init__()
        if not isinstance(self.widths, int) and self.depth not in (None, len(self.widths)):
            told = f"source.architecture.depth={self.depth} and {len(self.widths)} widths"
            raise BadInputError(f"{told}: give source.architecture.widths one for each layer")

    @property
    def name(self) -> str:
        """The name of this architecture."""
        return "mlp"

    @property
    def layers(self) -> tuple[int, ...]:
        """The width of each layer."""
        if isinstance(self.widths, int):
            return (self.widths,) * (self.depth or DEPTH)
        return tuple(self.widths)

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        import torch
        from torch import nn

        from transfergrid.sources.backbones.small_backbone import SmallBackbone, Stage
        from transfergrid.sources.preprocessing.vectors import VectorPreprocess

        stages = OrderedDict[str, nn.Module]()
        before = self.inputs
        for number, width in enumerate(self.layers, start=1):
            stages[f"hidden{number}"] = Stage(*self._layer(before, width))
            before = width
        text = f"mlp {self.inputs} {list(self.layers)}"
        text += " batch_norm" * self.batch_norm + (
            f" dropout={self.dropout}" if self.dropout else ""
        )
        example = torch.zeros(1, self.inputs)
        made = SmallBackbone(stages, text, VectorPreprocess(self.inputs), example)
        made.title = self.name
        return made

    def _layer(self, before: int, width: int) -> list[nn.Module]:
        from torch import nn

        norm = [nn.BatchNorm1d(width)] if self.batch_norm else []
        dropped = [nn.Dropout(self.dropout)] if self.dropout else []
        return [nn.Linear(before, width), *norm, nn.ReLU(), *dropped]
