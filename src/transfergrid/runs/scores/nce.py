"""NCE: how uncertain the target's label remains, given the source's predicted class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from transfergrid.runs.scores.base import Features
from transfergrid.runs.scores.leep import OfPosteriors


@dataclass(frozen=True)
class Nce(OfPosteriors):
    """Negative conditional entropy -H(Y | Z), Z the source's likeliest class, in nats.

    Tran et al. 2019, with the source's predictions in place of its labels, as in Nguyen
    et al. 2020. In [-H(Y), 0].
    """

    paper = "Tran et al. 2019, negative conditional entropy"

    @override
    def compute(self, features: Features) -> float:
        assert features.posteriors is not None
        said = features.posteriors.argmax(axis=1)
        shares = np.stack([features.onehot[said == z].sum(axis=0) for z in np.unique(said)])
        inside = shares / shares.sum(axis=1, keepdims=True)
        logs = np.log(np.where(shares > 0, inside, 1.0))
        return float((shares * logs).sum() / len(said))
