"""Train the head on the frozen source first, then all weights from there."""

from typing import Any

from transfergrid.strategies import (
    Baselines,
    Objective,
    Part,
    Phase,
    Positive,
    Range,
    Strategy,
    rates,
)


class LinearProbeThenFinetuning(Strategy):
    """A head that fits keeps the features from being distorted (Kumar et al. 2022, section 3.4).

    Args:
        share: of the steps, that the probe takes.
        tuning_lr_factor: multiplies the shared rate once all weights learn.
        shared: `lr_factor` of the probe, and `schedule`, which each of the two runs through.
    """

    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space = {
        "lr_factor": rates(0.095, small_images=10.0, images=30.0, text=10.0),
        "tuning_lr_factor": rates(0.3, small_images=1.0, images=0.3, text=0.1),
        "share": Range(0.2, 0.8, log=False, default=0.5),
    }
    badges = ("trajectory_exact",)

    def __init__(self, share: Part = 0.5, tuning_lr_factor: Positive = 0.3, **shared: Any) -> None:
        super().__init__(**shared)
        self.share, self.tuning_lr_factor = share, tuning_lr_factor

    def phases(self) -> list[Phase]:
        probe = Objective(self.loss, [self.head_group()])
        tune, rate = Objective(self.loss, self.everything()), self.tuning_lr_factor
        return [
            Phase("probe", [probe], self.share),
            Phase("tune", [tune], 1 - self.share, lr_factor=rate),
        ]
