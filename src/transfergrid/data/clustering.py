"""Clustering: groups of examples that are found without labels and scored by the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.task import Classification, Score
from transfergrid.records.metrics import CLUSTERS


@dataclass(frozen=True)
class Clustering(Classification):
    """As many clusters as classes, in any order; their agreement with the classes is scored.

    A strategy is told only the number of classes. Labels are class indices; a prediction is a
    share for each cluster, and the cluster with the largest share counts.
    """

    kind: ClassVar[str] = CLUSTERS

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return tuple(f"cluster {number + 1}" for number in range(len(self.classes)))

    @override
    def loss(self, outputs: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
        raise NotImplementedError("clusters are found without labels")

    @override
    def criterion(self, predicted: Tensor, labels: Tensor) -> float:
        return 1.0 - self.score("nmi", predicted, labels)

    @property
    @override
    def _scores(self) -> dict[str, Score]:
        """The adjusted Rand index may be below 0; as a share it then counts as 0."""
        return {"nmi": _nmi, "ari": _ari}

    @override
    def underfit(self, predicted: Tensor, labels: Tensor) -> bool:
        return False  # no label was learned from


def _nmi(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the normalised mutual information: divided by the mean of both entropies."""
    from sklearn.metrics import normalized_mutual_info_score

    found = normalized_mutual_info_score(labels.cpu().numpy(), predicted.argmax(1).cpu().numpy())
    return torch.tensor(float(found), dtype=torch.float64)


def _ari(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the adjusted Rand index: agreement on pairs of examples, corrected for chance.

    Source: Hubert & Arabie 1985.
    """
    from sklearn.metrics import adjusted_rand_score

    found = adjusted_rand_score(labels.cpu().numpy(), predicted.argmax(1).cpu().numpy())
    return torch.tensor(float(found), dtype=torch.float64)
