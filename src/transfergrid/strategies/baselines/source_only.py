"""Train on the labelled source domain and use the result on the target as it is."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from transfergrid.records.needs import Baselines, Needs, Setting
from transfergrid.records.space import Space, rates
from transfergrid.records.training import Schedule
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Objective, Phase


class SourceOnly(Strategy):
    """The loss of source batches alone: what adaptation at `labels=0` is compared with.

    It equals, step for step, `domain_adversarial` without target labels at weight 0.

    Formula:
        CE(source)
    Try it:
        where the target has no labels: it is the baseline that adaptation at `labels=0` has to beat
    Cost:
        that of full fine-tuning, on source batches
    Source:
        Ben-David et al. 2010, A theory of learning from different domains, Machine Learning 79
    """

    needs: ClassVar[Needs] = Needs(
        source="start",
        target_labels="unused",
        domains=1,
        classes="same",
        pairs=("closed", "partial", "open"),  # unknown classes are never predicted
    )
    baselines: ClassVar[Baselines] = Baselines(labelled=None)
    space: ClassVar[Space] = {"lr_factor": rates(3.0, small_images=3.0, images=0.3, text=0.1)}
    setting: ClassVar[Setting] = "transductive"
    transfers = "instances"
    also_called = ("no_adaptation",)
    stackable = True
    badges = ("trajectory_exact",)

    def __init__(self, schedule: Schedule | None = "inverse_decay", **shared: Any) -> None:
        super().__init__(schedule=schedule, **shared)

    @override
    def phases(self) -> list[Phase]:
        return [Phase("train", [Objective(self.loss, self.everything())], reads=["source"])]
