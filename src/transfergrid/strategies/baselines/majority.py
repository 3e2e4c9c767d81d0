"""Always the most frequent class: the floor under every score."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.batches import CellData, size_of
from transfergrid.data.inputs import Inputs
from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import ParamGroup, Strategy


class Majority(Strategy):
    """Predict the class frequencies of the target labels, whatever the input."""

    needs: ClassVar[Needs] = Needs(source="none", training=False)
    baselines: ClassVar[Baselines] = Baselines(labelled=None)
    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()

    @override
    def prepare(self, data: CellData) -> None:
        assert data.train is not None
        counts = np.bincount(data.train.labels, minlength=len(data.classes))
        self.register_buffer("frequencies", torch.from_numpy(counts / counts.sum()).float())

    @override
    def trainable(self) -> list[ParamGroup]:
        return []

    @override
    def predict(self, inputs: Inputs) -> Tensor:
        return self.frequencies.clamp_min(1e-12).log().expand(size_of(inputs), -1)
