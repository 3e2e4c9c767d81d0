"""Train the scales and shifts of the norm layers, and a new head."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from typing_extensions import override

from transfergrid.records.needs import Badge, Baselines, Needs
from transfergrid.records.space import Space, rates
from transfergrid.strategies import ImpossibleError, Sizes, Strategy
from transfergrid.strategies.few_parameters.parts import hold_statistics, norms_of
from transfergrid.strategies.phases import Group, Objective, Phase


class NormTuning(Strategy):
    """Every norm's scale and shift learn, and the head; all other weights stay the source's.

    Formula:
        y = g * (x - mean) / std + b in each BatchNorm, LayerNorm, GroupNorm or RMSNorm;
        g, b and the head minimise the task's loss, everything else is fixed.

    Try it:
        With few labels, and where source and target differ in brightness, contrast or style rather
        than in content. Where new features must be learned, all weights are needed.

    Cost:
        A step needs the full backward pass but no gradient of a matrix: about two thirds of full
        fine-tuning. Some thousand parameters are trained. Prediction costs nothing more.

    Source:
        Frankle, Schwab & Morcos 2021, Training BatchNorm and Only BatchNorm, arXiv 2003.00152,
        there from random weights; Li et al. 2017, arXiv 1603.04779, for the statistics.

    Args:
        statistics: whether BatchNorm's running statistics `move` to the target's, as in full
            fine-tuning, or are `kept`; training then normalises by them, too. Other norms have
            none.
        shared: `lr_factor` and `schedule`.

    Raises:
        ImpossibleError: the network has no norm layer with parameters.
    """

    needs = Needs(layers="norm")
    baselines: ClassVar[Baselines] = Baselines(
        exploratory=["feature_extraction", "full_finetuning"]
    )
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=3.0, small_images=10.0, images=100.0, text=3.0)
    }
    stackable = True
    also_called = ("bn_tuning", "ln_tuning", "batchnorm_tuning", "layernorm_tuning", "tune_norms")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")

    def __init__(self, statistics: Literal["move", "kept"] = "move", **shared: Any) -> None:
        super().__init__(**shared)
        self.statistics = statistics

    @override
    def build(self, sizes: Sizes) -> None:
        if not norms_of(self.backbone.network):
            raise ImpossibleError(f"{self.backbone.title} has no norm layer that could be tuned")

    @override
    def phases(self) -> list[Phase]:
        norms = Group("norms", norms_of(self.backbone.network), decay=False)
        return [Phase("train", [Objective(self.loss, [self.head_group(), norms])])]

    @override
    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.statistics == "kept":
            hold_statistics(self)
        return self
