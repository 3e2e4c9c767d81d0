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
        with very few labels, or to see what a source knows as it is; far from the source its
        features are not enough
    Cost:
        a head's: what the source makes of inputs is computed once and kept; the same at prediction
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
        "lr_factor": rates(3.0, brief=0.95, small_images=10.0, images=32.0, text=3.0)
    }
    also_called = ("linear_probing", "frozen", "frozen_backbone", "head_only")
    transfers = "features"
    target_statistics = "unseen"
    stackable = True
    badges = ("trajectory_exact",)

    @override
    def phases(self) -> list[Phase]:
        return [Phase("probe", [Objective(self.loss, [self.head_group()])])]
