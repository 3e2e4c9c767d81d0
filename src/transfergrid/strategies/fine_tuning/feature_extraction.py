"""A linear classifier on the frozen source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from transfergrid.records.needs import Baselines
from transfergrid.records.space import Space, rates
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Objective, Phase


class FeatureExtraction(Strategy):
    """The head alone learns; the backbone keeps every weight and every running statistic."""

    closed_to: ClassVar[Mapping[str, str]] = {
        "probe_first": "nothing but the probe learns: strategy=logistic_probe solves it"
    }
    baselines: ClassVar[Baselines] = Baselines(exploratory=["scratch_converged", "full_finetuning"])
    space: ClassVar[Space] = {"lr_factor": rates(3.0, small_images=10.0, images=30.0, text=10.0)}
    transfers = "features"
    stackable = True
    badges = ("trajectory_exact",)

    @override
    def phases(self) -> list[Phase]:
        return [Phase("probe", [Objective(self.loss, [self.head_group()])])]
