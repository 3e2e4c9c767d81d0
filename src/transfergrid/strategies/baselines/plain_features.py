"""The base class of classical learners: a linear map of plain features, solved in one go."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.inputs import Inputs
from transfergrid.data.sparse_inputs import linear
from transfergrid.records.needs import Baselines
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.phases import Data, Phase


class OnPlainFeatures(Strategy):
    """A linear map of the target's plain features (pixels, or tf-idf for text)."""

    baselines: ClassVar[Baselines] = Baselines(labelled=None)
    transfers = "nothing"
    coefficients: Tensor
    intercepts: Tensor

    @override
    def build(self, sizes: Sizes) -> None:
        self.register_buffer("coefficients", torch.zeros(self.task.outputs, sizes.inputs))
        self.register_buffer("intercepts", torch.zeros(self.task.outputs))

    @override
    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    @abstractmethod
    def solve(self, data: Data) -> None:
        """Set `coefficients` and `intercepts`."""

    @override
    def predict(self, inputs: Inputs) -> Tensor:
        return linear(inputs, self.coefficients) + self.intercepts
