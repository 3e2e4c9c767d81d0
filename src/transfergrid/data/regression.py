"""Regression: one or several numbers are predicted, and the loss is the squared error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.clustering import Clustering
from transfergrid.data.task import Classification, Score, Task
from transfergrid.records.metrics import CLUSTERS, NUMBERS, kind_of

COLLAPSED = 0.01
"""Predictions have collapsed if their spread is at most this share of the labels' spread."""
UNDERFIT = 0.5
"""A model underfits if it explains less than this share of the training labels' variance."""


def task_of(classes: tuple[str, ...], outputs: tuple[str, ...], metric: str | None = None) -> Task:
    """Return the task for labels that are classes, or numbers, with these names.

    With a metric of clusters it is clustering, with as many clusters as classes.
    """
    if metric is not None and kind_of(metric) == CLUSTERS:
        return Clustering(classes)
    return Regression(outputs) if outputs else Classification(classes)


@dataclass(frozen=True)
class Regression(Task):
    """One or several numbers: the mean squared error of standardised labels is minimised.

    Means and standard deviations are those of the cell's own training labels. They are buffers of
    the head, so that predictions are in the labels' own unit, and a saved strategy contains them.
    Thus a learning rate means the same whatever the unit.

    Attributes:
        columns: names of the numbers; labels are (n,) or (n, len(columns)) float32.
        means: subtracted from the labels; zeros before `fitted`.
        scales: divisors of the labels after that; ones before `fitted`.
    """

    columns: tuple[str, ...]
    means: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    kind: ClassVar[str] = NUMBERS

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return self.columns

    @override
    def _in_order(self, labels: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        return np.asarray(labels[:, [list(names).index(name) for name in self.columns]])

    @override
    def fitted(self, labels: Tensor) -> Regression:
        """Return the task with the means and standard deviations of these labels.

        A column in which all labels are equal (such as a single label) is centred, not scaled.
        """
        rows = _as_rows(labels)
        deviations = rows.std(dim=0, correction=0).tolist()
        scales = tuple(deviation or 1.0 for deviation in deviations)
        return replace(self, means=tuple(rows.mean(dim=0).tolist()), scales=scales)

    @override
    def head(self, dim: int) -> ScaledLinear:
        return ScaledLinear(dim, self._means, self._scales)

    @override
    def fill(self, head: nn.Module, weight: Tensor, bias: Tensor) -> None:
        means, scales = bias.new_tensor(self._means), bias.new_tensor(self._scales)
        super().fill(head, weight / scales[:, None], (bias - means) / scales)

    @property
    def _means(self) -> tuple[float, ...]:
        return self.means or (0.0,) * self.outputs

    @property
    def _scales(self) -> tuple[float, ...]:
        return self.scales or (1.0,) * self.outputs

    @override
    def loss(self, outputs: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
        errors = (outputs - labels.reshape(outputs.shape)) / outputs.new_tensor(self._scales)
        return errors.square().mean()

    @override
    def prior(self, labels: Tensor) -> Tensor:
        return self.constant(labels)[0].float()

    @override
    def decode(self, outputs: Tensor) -> Tensor:
        return outputs

    @override
    def answers(self, labels: Tensor) -> Tensor:
        return _as_rows(labels)

    @override
    def encode(self, predicted: Tensor) -> Tensor:
        return predicted

    @override
    def criterion(self, predicted: Tensor, labels: Tensor) -> float:
        return float(self.loss(predicted, labels))

    @property
    @override
    def _scores(self) -> dict[str, Score]:
        return {"mse": _mse, "mae": _mae, "rmse": _rmse, "r2": _r2}

    @override
    def constant(self, labels: Tensor) -> Tensor:
        rows = _as_rows(labels)
        return rows.mean(dim=0).expand(rows.shape)

    @override
    def collapsed(self, predicted: Tensor, labels: Tensor) -> bool:
        """Return whether predictions spread at most 1/100 as far as labels, in every column."""
        spread, wanted = (_as_rows(part).std(dim=0, correction=0) for part in (predicted, labels))
        return bool((spread <= COLLAPSED * wanted).all())

    @override
    def underfit(self, predicted: Tensor, labels: Tensor) -> bool:
        """Return whether less than half of the labels' variance is explained; False without any."""
        return self.score("r2", predicted, labels) < UNDERFIT


class ScaledLinear(nn.Linear):
    """A linear layer with outputs in the labels' unit: scale (W x + b) + mean.

    Args:
        dim: width of the features.
        means: one per output, added to it.
        scales: one per output, multiplied with it.
    """

    means: Tensor
    scales: Tensor

    def __init__(self, dim: int, means: Sequence[float], scales: Sequence[float]) -> None:
        super().__init__(dim, len(means))
        self.register_buffer("means", torch.tensor(means))
        self.register_buffer("scales", torch.tensor(scales))

    @override
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.scales + self.means

    def folded(self) -> nn.Linear:
        """Return an equivalent plain linear layer."""
        plain = nn.Linear(self.in_features, self.out_features)
        with torch.no_grad():
            plain.weight.copy_(self.weight * self.scales[:, None])
            plain.bias.copy_(self.bias * self.scales + self.means)
        return plain


def _as_rows(labels: Tensor) -> Tensor:
    """Return labels (n, outputs) in double precision, because squares of large numbers need it."""
    return labels.reshape(len(labels), -1).double()


def _errors(predicted: Tensor, labels: Tensor) -> Tensor:
    return _as_rows(predicted) - _as_rows(labels)


def _mse(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared error, the mean over outputs."""
    return _errors(predicted, labels).square().mean()


def _mae(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the mean absolute error, the mean over outputs."""
    return _errors(predicted, labels).abs().mean()


def _rmse(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the root of the mean squared error; with several outputs, of the mean over them."""
    return _mse(predicted, labels).sqrt()


def _r2(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the coefficient of determination, the unweighted mean over outputs.

    NaN if all labels of an output are equal: there is no variance to explain.
    """
    rows = _as_rows(labels)
    left, there = _errors(predicted, labels).square().sum(dim=0), rows.var(dim=0, correction=0)
    alike = rows.amax(dim=0) == rows.amin(dim=0)
    explained = 1 - left / (len(rows) * there)
    return torch.where(alike, torch.nan, explained).mean()
