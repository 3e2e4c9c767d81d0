"""Fine-tune at a constant rate and predict with the mean of the weights of the last steps."""

from typing import Any

from torch import Tensor

from transfergrid.strategies import (
    Baselines,
    Data,
    Inputs,
    Objective,
    Phase,
    Range,
    Schedule,
    Share,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.weight_space.batch_statistics import norms_of, retake, statistics_of
from transfergrid.strategies.weight_space.running_mean import RunningMean


class WeightAveraging(Strategy):
    """The mean of the weights after each of the last steps, instead of the last ones.

    Once the mean is in place, BatchNorm's statistics are recomputed over the training inputs, not
    augmented; its count of batches stays the run's. As soon as there is a mean, validation scores
    the mean so far, and chooses the step up to which it goes. `begin: 1` is plain fine-tuning with
    this schedule, bit for bit.

    Formula:
        w = (w_b + ... + w_T) / (T - b + 1), b = begin T; or m <- d m + (1 - d) w after each step.

    Try it:
        Where runs differ between seeds, and labels are few: a mean lies in a flatter minimum and
        varies less. If the rate fell to zero there would be nothing to average, so the schedule is
        constant here.

    Cost:
        One more copy of the weights and one addition a step; a pass over the training inputs if
        there is BatchNorm. Nothing more at prediction: it is no ensemble.

    Source:
        Izmailov et al. 2018, Averaging Weights Leads to Wider Optima, arXiv 1803.05407, algorithm
        1; the moving average: Polyak & Juditsky 1992, as Tarvainen & Valpola 2017 use it.

    Args:
        begin: share of the steps after which averaging begins; it goes on to the last step.
        decay: d of a moving average, usually .99 to .9999 with `begin: 0`; null: the plain mean.
        schedule: schedule of the rate.
        shared: `lr_factor`.
    """

    also_called = ("swa", "stochastic_weight_averaging")
    variants = dict.fromkeys(
        ("ema", "exponential_moving_average"), "strategy.begin=0 strategy.decay=0.99"
    )
    badges = ("formula_exact", "trajectory_exact")
    closed_to = {"weight_averaging": "the mean begins at strategy.begin"}
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.3, brief=0.3, small_images=0.095, images=3.2, text=0.095),
        "begin": Range(0.25, 0.95, log=False, default=0.75),
    }

    def __init__(
        self,
        begin: Share = 0.75,
        decay: Share | None = None,
        schedule: Schedule | None = "constant",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.begin, self.decay = begin, decay

    def build(self, sizes: Sizes) -> None:
        self.scaffold["mean"] = RunningMean(self._averaged, self.begin, self.decay)

    def _averaged(self) -> list[Tensor]:
        parameters = [*self.backbone.parameters(), *self.head.parameters()]
        return [*parameters, *statistics_of(norms_of(self.backbone, parameters))]

    @property
    def mean(self) -> RunningMean:
        """The mean so far."""
        own = self.scaffold["mean"]
        assert isinstance(own, RunningMean)
        return own

    def phases(self) -> list[Phase]:
        learns = [Objective(self.loss, self.everything())]
        train = Phase("train", learns, after=self.mean.note, predicts=self.predict_by_mean)
        return [train, Phase("average", before=self.put)]

    def predict_by_mean(self, inputs: Inputs) -> Tensor:
        """Return the predictions of the mean of the weights so far, (batch, outputs)."""
        with self.mean.in_place():
            return self.predict(inputs)

    def put(self, data: Data) -> None:
        """Replace the weights by their mean, and recompute BatchNorm's statistics."""
        if self.mean.put() and data.target is not None:
            norms = norms_of(self.backbone, self.backbone.parameters())
            retake(norms, [data.target], self.backbone.embed)
