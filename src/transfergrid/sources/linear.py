"""A linear map of vectors: with its head, a linear model."""

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
    """One dense layer and nothing else, so that all that is said of a vector is linear in it.

    Attributes:
        inputs: numbers of a vector.
        width: of the embedding; by default as wide as the vector, which holds nothing back.
    """

    inputs: Count
    width: Count | None = None

    modality: ClassVar[str] = "vector"

    @property
    def name(self) -> str:
        """Always the same."""
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
