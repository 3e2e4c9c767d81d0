"""Fine-tune from the probe, then interpolate back towards it."""

from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.strategies import (
    Baselines,
    Data,
    Dial,
    Needs,
    Objective,
    Phase,
    Positive,
    Share,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.closed_form.logistic_probe import fit_head

PATH = tuple(step / 10 for step in range(11))
"""The values of alpha, the weight of the fine-tuned end, to choose from."""
HALF = 0.5
"""The default of alpha without a validation part (Wortsman et al. 2022, section 1)."""


def interpolated(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    """Return (1 - alpha) start + alpha end, bit for bit the ends at 0 and 1.

    For tensors that are not floating-point, such as BatchNorm's count of batches, it is the end.
    """
    return torch.lerp(start, end, alpha) if start.is_floating_point() else end


class WiseFT(Strategy):
    """Weights between the source with a probe for its head and the same after fine-tuning.

    The source has no head for the target, so the path starts at the logistic probe of its features,
    at its optimum, and fine-tuning starts there too. Validation chooses alpha from 0, .1, ..., 1,
    of ties the one nearest .5; without a validation part alpha is .5. The record keeps validation
    score and training loss at each point (`chosen.paths`). BatchNorm's running statistics are
    interpolated like all weights; its count of batches is the run's.

    Formula:
        w = (1 - alpha) w_0 + alpha w_1, for every weight and running statistic

    Try it:
        Where test inputs differ from the training ones, or the probe and fine-tuning are about as
        good: the middle of the path is often better than both ends.

    Cost:
        Fine-tuning, one probe before it and a pass over the validation part for each of 11 points;
        two more copies of the weights in training. Nothing more at prediction.

    Source:
        Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models, arXiv 2109.01903, section 3.

    Args:
        alpha: weight of the fine-tuned end; null: validation chooses.
        c: inverse strength of the probe's penalty, as in `logistic_probe`.
        shared: `lr_factor` of the fine-tuning, and `schedule`.
    """

    needs = Needs(tasks=("classification",))
    also_called = ("wise", "wiseft", "weight_space_ensemble", "weight_interpolation")
    badges = ("formula_exact", "trajectory_exact")
    closed_to = {"probe_first": "the method begins with a probe"}
    baselines = Baselines(exploratory=["logistic_probe", "full_finetuning"])
    space = {"lr_factor": rates(0.95, brief=0.95, small_images=0.95, images=1.0, text=0.3)}

    def __init__(self, alpha: Share | None = None, c: Positive = 1.0, **shared: Any) -> None:
        super().__init__(**shared)
        self.alpha, self.c = alpha, c

    def build(self, sizes: Sizes) -> None:
        self.scaffold["start"], self.scaffold["end"] = self._copies(), self._copies()

    def _copies(self) -> nn.ModuleList:
        return nn.ModuleList(self.copied(part) for part in (self.backbone, self.head))

    def phases(self) -> list[Phase]:
        values, default = (PATH, HALF) if self.alpha is None else ((self.alpha,), self.alpha)
        path = Dial("alpha", values, self.put, default, traced=self.alpha is None)
        return [
            Phase("probe", before=self.begin),
            Phase("tune", [Objective(self.loss, self.everything())]),
            Phase("interpolate", before=self.end, dial=path),
        ]

    def begin(self, data: Data) -> None:
        """Fit the probe, and store the start of the path."""
        fit_head(self, data, self.c)
        self._keep("start")

    def end(self, data: Data) -> None:
        """Store the end of the path."""
        self._keep("end")

    def _keep(self, which: str) -> None:
        self.scaffold[which].load_state_dict(self._now().state_dict())

    def _now(self) -> nn.ModuleList:
        return nn.ModuleList([self.backbone, self.head])

    def put(self, alpha: float) -> None:
        """Set the weights to a point of the path."""
        start, end = (self.scaffold[which].state_dict() for which in ("start", "end"))
        for name, own in self._now().state_dict().items():
            own.copy_(interpolated(start[name], end[name], alpha))
