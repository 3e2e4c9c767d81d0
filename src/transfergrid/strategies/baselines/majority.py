"""Always predict the most frequent class, or the mean: the floor under every score."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.inputs import Inputs
from transfergrid.data.views import size_of
from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.phases import Data, Phase


class Majority(Strategy):
    """Predict what the target labels say by themselves, whatever the input.

    Without any label all classes are equally likely.

    Formula:
        p(class) = its share of the training labels; of numbers, their mean
    Try it:
        never to win: a method that is no better has learned nothing
    Cost:
        none
    Source:
        the base rate
    """

    needs: ClassVar[Needs] = Needs(source="none", target_labels="optional", steps=False)
    baselines: ClassVar[Baselines] = Baselines(labelled=None, unlabelled=None)
    transfers = "nothing"
    constant: Tensor
    also_called = ("majority_class", "base_rate", "dummy")
    badges = ("formula_exact",)

    def __init__(self) -> None:
        super().__init__()

    @override
    def build(self, sizes: Sizes) -> None:
        self.register_buffer("constant", torch.zeros(self.task.outputs))

    @override
    def phases(self) -> list[Phase]:
        return [Phase("count", before=self.count)]

    def count(self, data: Data) -> None:
        """Set the constant prediction that fits the labels best."""
        if data.target is None:
            return
        self.constant.copy_(self.task.prior(data.target.labels))

    @override
    def predict(self, inputs: Inputs) -> Tensor:
        return self.constant.expand(size_of(inputs), -1)
