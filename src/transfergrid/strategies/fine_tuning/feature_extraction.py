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
    """Train a linear classifier on the frozen source.

    The head alone learns; the backbone keeps every weight and every running statistic.

    Formula:
        CE(head(f(x))), f fixed
    Try it:
        with very few labels, or to see what a source's features are worth unchanged; where the
        source is far from the target, they are not enough
    Cost:
        that of training a head: the source's features are computed once and cached; prediction
        costs what the source costs
    Source:
        Yosinski et al. 2014, How transferable are features in deep neural networks?, NIPS, arXiv
        1411.1792
    """

    closed_to: ClassVar[Mapping[str, str]] = {
        "probe_first": "nothing but the probe learns: strategy=logistic_probe solves it",
        "layer_decay": "no layer of the backbone learns",
        "l2_sp": "no layer of the backbone learns",
    }
    baselines: ClassVar[Baselines] = Baselines(exploratory=["scratch_converged", "full_finetuning"])
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=0.95, small_images=3.0, images=32.0, text=3.0)
    }
    also_called = ("linear_probing", "frozen", "frozen_backbone", "head_only")
    transfers = "features"
    target_statistics = "unseen"
    stackable = True
    badges = ("trajectory_exact",)

    @override
    def phases(self) -> list[Phase]:
        return [Phase("probe", [Objective(self.loss, [self.head_group()])])]
