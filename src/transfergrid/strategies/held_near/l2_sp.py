"""Fine-tune with a pull towards the source's weights instead of zero."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import (
    Baselines,
    Batch,
    NotNegative,
    Objective,
    Phase,
    Range,
    Sizes,
    Strategy,
    rates,
)


def half_square(parts: list[Tensor]) -> Tensor:
    """Return half the squared norm of all tensors, taken as one vector."""
    return torch.stack([0.5 * part.square().sum() for part in parts]).sum()


class L2SP(Strategy):
    """Fine-tuning whose weights are pulled towards where they started, and not towards zero.

    All weights of the backbone are anchored, biases and norm layers included. There is no other
    weight decay, whatever the training config says.

    Formula:
        CE + a/2 |w - w0|^2 + b/2 |head|^2
    Try it:
        with few labels and a source near the target, where fine-tuning forgets; a source far from
        it holds back. Any other gradient strategy gets the same pull by its key `l2_sp`
    Cost:
        full fine-tuning and a second copy of the weights in memory; nothing more at prediction
    Source:
        Li, Grandvalet & Davoine 2018, Explicit inductive bias for transfer learning with
        convolutional networks, ICML, arXiv 1802.01483, section 3; half of each square, as in the
        authors' code

    Args:
        alpha: strength of the pull of the backbone towards its start.
        beta: strength of the pull of the head towards zero; both replace weight decay.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("l2sp", "starting_point")
    badges = ("formula_exact", "trajectory_exact")
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.95, brief=0.95, small_images=0.95, images=3.2, text=0.095),
        "alpha": Range(1e-4, 1e-1, default=0.01),
        "beta": Range(1e-4, 1e-1, default=0.01),
    }
    closed_to = {"l2_sp": "the pull is strategy.alpha"}
    stackable = True

    def __init__(self, alpha: NotNegative = 0.01, beta: NotNegative = 0.01, **shared: Any) -> None:
        super().__init__(**shared)
        self.alpha, self.beta = alpha, beta

    def build(self, sizes: Sizes) -> None:
        self.scaffold["start"] = self.copied(self.backbone)

    def phases(self) -> list[Phase]:
        learns = [group._replace(decay=False) for group in self.everything()]
        return [Phase("train", [Objective(self.loss, learns)])]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        start = self.scaffold["start"].parameters()
        way = [w - w0 for w, w0 in zip(self.backbone.parameters(), start, strict=True)]
        pull = self.alpha * half_square(way) + self.beta * half_square([*self.head.parameters()])
        return super().loss(batch, progress) + pull
