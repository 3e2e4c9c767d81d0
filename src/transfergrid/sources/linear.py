"""A linear map of vectors; together with a linear head, it is a linear model."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from transfergrid.records.arguments import Count
from transfergrid.sources.source import Architecture

if TYPE_CHECKING:
    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class Linear(Architecture):
    """A single dense layer, so that the outputs of a linear head are linear in the input vector.

    Attributes:
        inputs: length of the input vectors.
        width: of the embedding; by default that of the vector, so that no information is lost.
    """

    inputs: Count
    width: Count | None = None

    modality: ClassVar[str] = "vector"

    @property
    def name(self) -> str:
        """The name of this architecture."""
        return "linear"

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        import torch
        from torch import nn

        from transfergrid.sources.backbones.small_backbone import SmallBackbone, Stage
        from transfergrid.sources.preprocessing.vectors import VectorPreprocess

        width = self.width or self.inputs
        stages = OrderedDict[str, nn.Module](linear=Stage(nn.Linear(self.inputs, width)))
        example = torch.zeros(1, self.inputs)
        text = f"linear {self.inputs} {width}"
        made = SmallBackbone(stages, text, VectorPreprocess(self.inputs), example)
        made.title = self.name
        return made
