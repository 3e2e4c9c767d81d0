"""Which examples are alike: clusters that are found without labels, and scored by classes."""

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
    """As many clusters as there are classes, in no order: what agrees with classes is scored.

    Only how many classes there are is told to whoever finds clusters. Labels are indices of
    classes, what is predicted is a share for each cluster, and the likeliest one counts.
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
        """Agreement below chance counts as none (ARI)."""
        return {"nmi": _nmi, "ari": _ari}

    @override
    def underfit(self, predicted: Tensor, labels: Tensor) -> bool:
        return False  # no label was learned from


def _nmi(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the mutual information over the mean of both entropies."""
    from sklearn.metrics import normalized_mutual_info_score

    found = normalized_mutual_info_score(labels.cpu().numpy(), predicted.argmax(1).cpu().numpy())
    return torch.tensor(float(found), dtype=torch.float64)


def _ari(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the share of pairs on which both agree, above chance (Hubert & Arabie 1985)."""
    from sklearn.metrics import adjusted_rand_score

    found = adjusted_rand_score(labels.cpu().numpy(), predicted.argmax(1).cpu().numpy())
    return torch.tensor(float(found), dtype=torch.float64)
