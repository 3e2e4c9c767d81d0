"""The small encoder of `refine` and `side_tuning`, trained alone from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.space import Space, rates
from transfergrid.sources.small_encoder import SmallEncoder
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.beside.standing import encoder_beside, head_on


class ScratchSmall(Strategy):
    """The encoder that `refine` and `side_tuning` put beside a source, trained alone.

    It takes inputs prepared for the source's architecture, and starts from the same random weights
    as beside a source. Nothing else of the source is used.

    Formula:
        outputs = head(h(x)), all of it from random weights
    Try it:
        beside `refine`: what `refine` gains over this comes from the source
    Cost:
        a small part of full fine-tuning's, at training and at prediction
    Source:
        the baseline of Xu et al. 2025, arXiv 2505.11771: no source at all

    Args:
        encoder: the architecture that is trained.
        shared: `lr_factor` and `schedule`.
    """

    closed_to: ClassVar[Mapping[str, str]] = {"l2_sp": "what learns does not start from a source"}
    needs: ClassVar[Needs] = Needs(source="architecture")
    baselines: ClassVar[Baselines] = Baselines(labelled="scratch")
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=0.95, small_images=0.95, images=32.0, text=3.0)
    }
    transfers = "nothing"
    badges = ("trajectory_exact",)

    def __init__(self, encoder: Architecture = SmallEncoder(), **shared: Any) -> None:  # noqa: B008
        super().__init__(**shared)
        self.encoder = encoder

    @override
    def build(self, sizes: Sizes) -> None:
        self.backbone = encoder_beside(self, self.encoder)
        self.head = head_on(self, self.backbone.dim)
