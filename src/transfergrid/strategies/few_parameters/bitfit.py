"""Train the biases alone, and a new head."""

from __future__ import annotations

from typing import ClassVar, Self

from typing_extensions import override

from transfergrid.records.needs import Badge, Baselines, Needs
from transfergrid.records.space import Space, rates
from transfergrid.strategies import ImpossibleError, Sizes, Strategy
from transfergrid.strategies.few_parameters.parts import biases_of, hold_statistics
from transfergrid.strategies.phases import Group, Objective, Phase


class Bitfit(Strategy):
    """Every bias learns, and the head; all matrices, scales and statistics stay the source's.

    Formula:
        y = W x + b in each layer; b and the head minimise the task's loss, W is fixed.

    Try it:
        On transformers with few labels, where it comes close to full fine-tuning. A convolutional
        network has hardly any biases except the shifts of its BatchNorm layers, so little can
        change.

    Cost:
        A step needs the full backward pass but no gradient of a matrix: about two thirds of full
        fine-tuning. About a thousandth of the parameters is trained. Prediction costs nothing more.

    Source:
        Ben Zaken, Ravfogel & Goldberg 2022, BitFit, arXiv 2106.10199, section 3.

    Args:
        shared: `lr_factor` and `schedule`.

    Raises:
        ImpossibleError: the network has no biases.
    """

    needs = Needs(layers="some")
    baselines: ClassVar[Baselines] = Baselines(
        exploratory=["feature_extraction", "full_finetuning"]
    )
    space: ClassVar[Space] = {
        "lr_factor": rates(9.5, brief=9.5, small_images=3.0, images=10.0, text=9.5)
    }
    stackable = True
    target_statistics = "unseen"
    also_called = ("bias_tuning", "bias_only", "biases")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")

    @override
    def build(self, sizes: Sizes) -> None:
        if not biases_of(self.backbone.network):
            raise ImpossibleError(f"{self.backbone.title} has no biases that could be tuned")

    @override
    def phases(self) -> list[Phase]:
        biases = Group("biases", biases_of(self.backbone.network), decay=False)
        return [Phase("train", [Objective(self.loss, [self.head_group(), biases])])]

    @override
    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        hold_statistics(self)
        return self
