"""Fine-tune with a penalty on the smallest singular values of each batch's features (BSS)."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import (
    Baselines,
    Batch,
    Count,
    NotNegative,
    Range,
    Strategy,
    rates,
)


def least_squares(features: Tensor, k: int) -> Tensor:
    """Return the sum of squares of the `k` smallest singular values, or of all if there are fewer.

    There are min(batch, dim) singular values. Features that are not finite are replaced by finite
    ones here: the rest of the loss reports them.

    Args:
        features: (batch, dim), not centred; half precision is converted to single.
        k: how many, from 1.
    """
    single = features if features.dtype == torch.float64 else features.float()
    values: Tensor = torch.linalg.svdvals(torch.nan_to_num(single))
    return values[-k:].square().sum()


class BSS(Strategy):
    """Fine-tuning that shrinks the smallest singular values of each batch's features.

    The features are the embeddings of the batch that the head gets, not centred. Where
    `training.accumulate` cuts a batch into parts, each part has its own singular values.

    Formula:
        CE + eta * sum of sigma_i(F)^2 over the k smallest singular values of F, (batch, dim)
    Try it:
        with few labels, alone or with `l2_sp`; with many labels, fine-tuning unlearns a small part
        of the source anyway. A batch with fewer rows than `dim` has as many singular values as rows
    Cost:
        full fine-tuning and one singular value decomposition of the batch's features a step;
        nothing more at prediction
    Source:
        Chen, Wang, Fu, Long & Wang 2019, Catastrophic forgetting meets negative transfer: batch
        spectral shrinkage for safe transfer learning, NeurIPS, section 4.2

    Args:
        weight: eta, the weight of the penalty; 0 is full fine-tuning.
        k: how many of the smallest singular values are shrunk.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("batch_spectral_shrinkage", "spectral_shrinkage")
    badges = ("formula_exact", "trajectory_exact")
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.3, brief=0.95, small_images=0.3, images=3.2, text=0.095),
        "weight": Range(1e-4, 1e-2, default=1e-3),
    }
    stackable = True

    def __init__(self, weight: NotNegative = 1e-3, k: Count = 1, **shared: Any) -> None:
        super().__init__(**shared)
        self.weight, self.k = weight, k

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        features = self.features(seen.inputs)
        fit = self.task.loss(self.head(features), seen.labels)
        return fit + self.weight * least_squares(features, self.k)
