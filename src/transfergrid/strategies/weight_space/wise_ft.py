"""Fine-tune from the probe, then go back a part of the way."""

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
"""Weights of the fine-tuned end that are looked at."""
HALF = 0.5
"""The weight where nothing validates (Wortsman et al. 2022, section 1)."""


def interpolated(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    """Return (1 - alpha) start + alpha end, bit for bit the ends at 0 and 1.

    What is not of floating point, such as BatchNorm's count of batches, is the end's.
    """
    return torch.lerp(start, end, alpha) if start.is_floating_point() else end


class WiseFT(Strategy):
    """Weights between the source with a probe for its head and the same after fine-tuning.

    The source has no head for the target, so the start of the path is the logistic probe of its
    features, at its optimum, and fine-tuning starts there. A validation part chooses alpha from 0,
    .1, ..., 1, of equals the one nearest .5; where nothing validates it is .5. The record keeps
    validation score and training loss of each point (`chosen.paths`). BatchNorm's running
    statistics lie on the line like all else, and its count of batches is the run's.

    Formula:
        w = (1 - alpha) w_0 + alpha w_1, for every weight and running statistic

    Try it:
        Where test inputs are of other kinds than the training ones, or the probe and fine-tuning
        are about as good: the middle of the path is often better than both its ends.

    Cost:
        Fine-tuning, one probe before it and a look at the validation part for each of 11 points;
        two copies of the weights more while it trains. The same at prediction.

    Source:
        Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models, arXiv 2109.01903, section 3.

    Args:
        alpha: weight of the fine-tuned end; null lets the validation part choose.
        c: inverse strength of the probe's penalty, as of `logistic_probe`.
        shared: `lr_factor` of the fine-tuning, and `schedule`.
    """

    needs = Needs(tasks=("classification",))
    also_called = ("wise", "wiseft", "weight_space_ensemble", "weight_interpolation")
    badges = ("formula_exact", "trajectory_exact")
    closed_to = {"probe_first": "the method begins with a probe"}
    baselines = Baselines(exploratory=["logistic_probe", "full_finetuning"])
    space = {"lr_factor": rates(0.95, brief=0.95, small_images=1.0, images=1.0, text=0.3)}

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
        """Solve for the probe, and keep the start of the path."""
        fit_head(self, data, self.c)
        self._keep("start")

    def end(self, data: Data) -> None:
        """Keep the end of the path."""
        self._keep("end")

    def _keep(self, which: str) -> None:
        self.scaffold[which].load_state_dict(self._now().state_dict())

    def _now(self) -> nn.ModuleList:
        return nn.ModuleList([self.backbone, self.head])

    def put(self, alpha: float) -> None:
        """Go to a point of the path."""
        start, end = (self.scaffold[which].state_dict() for which in ("start", "end"))
        for name, own in self._now().state_dict().items():
            own.copy_(interpolated(start[name], end[name], alpha))
