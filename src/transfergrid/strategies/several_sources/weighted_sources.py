"""Weigh the losses of several sources by how near they are to the target."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from transfergrid.records.arguments import Shares
from transfergrid.strategies import (
    BadInputError,
    Batch,
    Data,
    Objective,
    Phase,
    Positive,
    Range,
    Sizes,
)
from transfergrid.strategies.closed_form.ridge import RidgePath
from transfergrid.strategies.closed_form.softmax_regression import Floats
from transfergrid.strategies.phases import View
from transfergrid.strategies.several_sources.side_by_side import (
    RATES,
    READS,
    SEVERAL,
    SeveralSources,
    weighed,
)

MOST = 512
"""The largest number of examples of a stream from which a score is computed."""


def weights_of(scores: Tensor, temperature: float) -> Tensor:
    """Return softmax(score / temperature), (domains,): a larger score gives a larger weight."""
    return torch.softmax(scores / temperature, 0)


def nearness(source: Floats, target: Floats) -> float:
    """Return 1 - d/2 in [0, 1], where d is the proxy A-distance of features; 1: they look alike.

    d = 2 (1 - 2e), at least 0. e is the leave-one-out error of a ridge regression that tells the
    domains apart, on equally many examples of each (Ben-David et al. 2007).
    """
    each = min(len(source), len(target))
    domain = np.repeat([1.0, -1.0], each)[:, None]
    path = RidgePath(np.concatenate([source[:each], target[:each]]), domain)
    said = domain - path.left_out(path.best())
    error = float(((said > 0) != (domain > 0)).mean())
    return min(2 * error, 1.0)


def foretold(source: Floats, answers: Floats, target: Floats, labels: Floats) -> float:
    """Return the accuracy on target labels of a ridge regression fitted to one source.

    Args:
        source: features, (n, dim).
        answers: one-hot labels, (n, classes).
        target: features, (m, dim).
        labels: (m,) class indices.
    """
    path = RidgePath(source, answers)
    weight, bias = path.at(path.best())
    return float(((target @ weight.T + bias).argmax(1) == labels).mean())


class WeightedSources(SeveralSources):
    """Weigh the losses of several sources by a score of each, found before training.

    This is a definition of this project. The score is computed once, on the features before
    training; the weights do not reflect its uncertainty. `distance` needs no labels; `labels` uses
    those that the cell learns from, and in a cell without any it falls back to `distance`. Equal
    weights are not pooling, which weighs sources by size. A source of weight 0 is not passed
    through the network, so that all weight on one source is exactly training on that source alone.
    The record tells scores and weights (`told`), in the order of `source.domain.names`. The order
    of the sources makes no difference.

    Formula:
        sum_k a_k CE_k, a = softmax(score / t); labelled target examples join for their share of a
        batch; score: 1 - d/2 of the proxy A-distance, or the share of target labels told rightly
    Try it:
        where some of several sources look more like the target than others; from a pretrained
        start, because features of random weights, and so the scores, say little
    Cost:
        a batch of each source at every step, and one ridge regression per source on at most 512
        examples of each domain; nothing at prediction
    Source:
        none: a definition of this project; the distance is that of Ben-David et al. 2007, Analysis
        of representations for domain adaptation, NIPS

    Args:
        by: the score: "distance", "labels", or "equal" for equal weights.
        temperature: temperature of the softmax; near 0 the best source gets all the weight.
        alpha: fixed weights instead, one per source, in the order of `source.domain.names`.
        shared: `lr_factor` and `schedule`.
    """

    needs = SEVERAL.of("classification")
    space = {"lr_factor": RATES, "temperature": Range(0.02, 2.0, default=0.1)}
    also_called = ("source_weighting", "domain_weighting")
    badges = ("formula_exact", "trajectory_exact")
    target_statistics = "unseen"

    def __init__(
        self,
        by: Literal["distance", "labels", "equal"] = "distance",
        temperature: Positive = 0.1,
        alpha: Shares | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.by, self.temperature, self.alpha = by, temperature, alpha

    def build(self, sizes: Sizes) -> None:
        known, number = len(sizes.source), len(self.alpha or sizes.source)
        if known and known != number:
            raise BadInputError(f"strategy.alpha has {number} weights, and the sources are {known}")
        self.scored_by = "distance" if self.by == "labels" and not sizes.target else self.by
        equal = torch.full((known,), 1 / max(known, 1))
        told = equal if self.alpha is None else torch.tensor(list(self.alpha))
        self.scaffold.register_buffer("alpha", told)
        self.scaffold.register_buffer("scores", torch.zeros(known))

    def phases(self) -> list[Phase]:
        train = Objective(self.loss, self.everything())
        return [
            Phase("score", reads=READS, before=self.score),
            Phase("train", [train], reads=["source", "target"]),
        ]

    def score(self, data: Data) -> None:
        """Compute the scores and the weights, unless these are given or equal."""
        if self.alpha is not None or self.scored_by == "equal":
            return
        scores = torch.tensor(list(self._scores(data)))
        self.scaffold.get_buffer("scores").copy_(scores)
        self.scaffold.get_buffer("alpha").copy_(weights_of(scores, self.temperature))

    def _scores(self, data: Data) -> Sequence[float]:
        sources = [self._few(view) for view in data.source]
        if self.scored_by == "distance":
            assert data.unlabelled is not None
            target = self._few(data.unlabelled)[0]
            return [nearness(source, target) for source, _ in sources]
        assert data.target is not None
        target, own = self._few(data.target)
        return [
            foretold(source, self.task.answers(labels).cpu().double().numpy(), target, own.numpy())
            for source, labels in sources
        ]

    def _few(self, view: View) -> tuple[Floats, Tensor]:
        """Return features and labels of at most `MOST` examples; the seed block draws them."""
        features: list[Tensor] = []
        labels: list[Tensor] = []
        for batch in view.batches():
            features.append(self.features(batch.inputs).cpu().double())
            labels.append(batch.labels.cpu())
            if sum(map(len, features)) >= MOST:
                break
        return torch.cat(features)[:MOST].numpy(), torch.cat(labels)[:MOST]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        alpha = self.scaffold.get_buffer("alpha")
        used = alpha.nonzero().flatten().tolist()
        batch = replace(batch, source=tuple(batch.source[k] for k in used))
        if len(used) == 1:
            return super(SeveralSources, self).loss(batch, progress)
        seen = self.passed(batch)
        return seen.with_target(weighed(seen.losses, alpha[used]))

    def tells(self) -> dict[str, Any]:
        found = {"weights": self.scaffold.get_buffer("alpha").tolist(), "scored_by": self.scored_by}
        if self.alpha is not None:
            return {**found, "scored_by": "given"}
        if self.scored_by != "equal":
            found["scores"] = self.scaffold.get_buffer("scores").tolist()
        return found
