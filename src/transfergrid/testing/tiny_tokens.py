"""A source that is a tiny vision transformer, with tokens and LayerNorm, without BatchNorm."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from typing_extensions import override

from transfergrid.data.domain import Domain
from transfergrid.sources.backbones.timm_backbone import TimmBackbone
from transfergrid.sources.source import Architecture, Maker, Source
from transfergrid.testing.tiny import SIDE, TinyDomain, TinyPreprocess, classifier, fine_tuned

DEPTH = 2


@dataclass(frozen=True)
class TinyTokenArchitecture(Architecture):
    """A timm vision transformer of this width: four patches of 4 by 4 pixels and a class token."""

    width: int = 8

    @property
    @override
    def name(self) -> str:
        return f"tinytokens{self.width}"

    @override
    def build(self) -> TimmBackbone:
        from timm.models.vision_transformer import VisionTransformer

        made = partial(VisionTransformer, img_size=SIDE, patch_size=4, in_chans=1, num_classes=0)
        network = made(embed_dim=self.width, depth=DEPTH, num_heads=2, proj_drop_rate=0.2)
        backbone = TimmBackbone(network, f"tiny tokens width={self.width}", (SIDE, SIDE), 1)
        backbone.preprocess = TinyPreprocess()  # type: ignore[assignment]
        return backbone


@dataclass(frozen=True)
class TinyTokenSource(Source):
    """Weights that stand for pretrained ones."""

    architecture: TinyTokenArchitecture = TinyTokenArchitecture()
    domain: Domain | None = field(default_factory=lambda: TinyDomain(shift=0.4))

    @override
    def initial(self) -> TimmBackbone:
        return self.architecture.build()

    @override
    def load(self, maker: Maker, block_seed: int) -> TimmBackbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(20)
            backbone = self.architecture.build()
            backbone.head_weights = classifier(self.domain, backbone.dim)
        return backbone

    @override
    def each(self, maker: Maker, block_seed: int) -> tuple[TimmBackbone, list[TimmBackbone]]:
        start = self.load(maker, block_seed)
        return start, fine_tuned(start, len(self.domain.each if self.domain else ()))
