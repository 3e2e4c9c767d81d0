"""Train on source domain and target labels together, without any adaptation."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.space import Space, rates
from transfergrid.records.training import Schedule
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Objective, Phase


class SourceAndTarget(Strategy):
    """The pooled loss: the mean over the examples of a source and a target batch.

    It equals, step for step, `domain_adversarial` with target labels at weight 0.

    Formula:
        mean CE over the examples of a source and a target batch
    Try it:
        where the source's labelled examples are at hand and its classes are the target's; it is
        the baseline that adaptation with target labels has to beat
    Cost:
        a forward and backward pass of twice the examples a step; nothing at prediction
    Source:
        Blitzer et al. 2007, Learning bounds for domain adaptation, NIPS: the combined risk
    """

    needs: ClassVar[Needs] = Needs(source="start", domains=1, classes="same")
    baselines: ClassVar[Baselines] = Baselines(exploratory=["full_finetuning"])
    space: ClassVar[Space] = {"lr_factor": rates(3.0, small_images=3.0, images=0.3, text=0.1)}
    transfers = "instances"
    also_called = ("pooled", "joint_training")
    stackable = True
    badges = ("trajectory_exact",)

    def __init__(self, schedule: Schedule | None = "inverse_decay", **shared: Any) -> None:
        super().__init__(schedule=schedule, **shared)

    @override
    def phases(self) -> list[Phase]:
        whole = Objective(self.loss, self.everything())
        return [Phase("train", [whole], reads=["source", "target"])]
