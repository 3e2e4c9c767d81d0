"""Train the head on the frozen source first, then all weights from there."""

from typing import Any

from transfergrid.strategies import (
    Baselines,
    Data,
    ImpossibleError,
    Objective,
    Part,
    Phase,
    Positive,
    Range,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.closed_form.logistic_probe import fit_head


class LinearProbeThenFinetuning(Strategy):
    """A head that fits keeps the features from being distorted when all weights learn.

    Before the first step of fine-tuning the model is the probe, bit for bit, and has its scores:
    the head is neither drawn again nor rescaled. In that step BatchNorm switches to the batch's
    statistics and dropout is on, so the training loss is not the probe's.

    Formula:
        head_0 = argmin CE(head | W_source), then min CE(head, W) from (head_0, W_source)

    Try it:
        With a good source and a shifted target, or where test inputs differ from the training ones.
        Where the probe is poor, plain fine-tuning is as good.

    Cost:
        Below full fine-tuning: the probe's steps run on cached features, and with `c` the probe
        takes none. Nothing more at prediction.

    Source:
        Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution (arXiv 2202.10054), section 3.4.

    Args:
        share: share of the steps that the probe takes; ignored with `c`.
        tuning_lr_factor: multiplies the shared rate while all weights learn; in the paper it is
            below the probe's.
        c: inverse penalty strength of a probe that is solved to its one optimum, as
            `logistic_probe` does; fine-tuning then takes all steps. Null: the probe takes its share
            of the steps.
        shared: `lr_factor` of the probe, and `schedule`, which runs once for the probe and once for
            fine-tuning; see `Strategy`.
    """

    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space = {
        "lr_factor": rates(3.0, brief=0.95, small_images=3.0, images=32.0, text=3.0),
        "tuning_lr_factor": rates(3.0, brief=0.3, small_images=0.3, images=0.32, text=0.095),
        "share": Range(0.2, 0.8, log=False, default=0.5),
    }
    optional = ("c",)
    also_called = ("lp_ft", "lpft")
    badges = ("trajectory_exact",)
    closed_to = {"probe_first": "the method begins with a probe"}

    def __init__(
        self,
        share: Part = 0.5,
        tuning_lr_factor: Positive = 3.0,
        c: Positive | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.share, self.tuning_lr_factor, self.c = share, tuning_lr_factor, c

    def build(self, sizes: Sizes) -> None:
        if self.c is not None and self.task.kind != "classification":
            raise ImpossibleError(
                "strategy.c solves a probe of classes, and the target's labels are numbers: leave "
                "it out, and the probe takes its share of the steps"
            )

    def phases(self) -> list[Phase]:
        tune, rate = Objective(self.loss, self.everything()), self.tuning_lr_factor
        if self.c is not None:
            return [Phase("probe", before=self.solve), Phase("tune", [tune], lr_factor=rate)]
        probe = Objective(self.loss, [self.head_group()])
        return [
            Phase("probe", [probe], self.share),
            Phase("tune", [tune], 1 - self.share, lr_factor=rate),
        ]

    def solve(self, data: Data) -> None:
        """Set the head to the probe's optimum."""
        assert self.c is not None
        fit_head(self, data, self.c)
