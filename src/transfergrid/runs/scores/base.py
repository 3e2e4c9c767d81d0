"""The base of transferability scores: their inputs (features) and their values."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.component import Component
from transfergrid.records.ledgers.scores import Value

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Targets = NDArray[Any]
"""Class indices, or numbers."""

ROUNDING = 1e-9
"""Relative tolerance: a value that exceeds a bound by no more counts as at the bound."""
ABSENT = {
    "labels": "there are no target labels",
    "posteriors": "the source's own classifier is not at hand",
    "source": "the source domain is not at hand",
}


class UndefinedScoreError(ValueError):
    """A score is not defined on these features; the message says why."""


@dataclass(frozen=True)
class Features:
    """The features from one pass of a frozen source.

    Attributes:
        target: (n, d) embeddings of target training examples.
        labels: (n,) their class indices, or numbers (n,) or (n, outputs); None without target
            labels.
        classes: number of classes of the target, C, including those without a label; 0 for numbers.
        posteriors: (n, Cs) class probabilities of the source's own classifier; rows sum to 1.
        source: (m, d) embeddings of source-domain examples.
        absent: why a part is None, in words, by the name of the part.
    """

    target: Floats
    labels: Targets | None
    classes: int
    posteriors: Floats | None = None
    source: Floats | None = None
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Ints:
        """The number of examples of each class that occurs."""
        counts: Ints = np.unique(self.known, return_counts=True)[1]
        return counts

    @property
    def of_numbers(self) -> bool:
        """Whether the labels are numbers, not classes."""
        return self.labels is not None and self.labels.dtype.kind == "f"

    @property
    def standardised(self) -> Floats:
        """(n, K) numbers of mean 0 and variance 1, without constant ones."""
        numbers = self.known.reshape(len(self.known), -1).astype(np.float64)
        spread = numbers.std(axis=0)
        varied: Floats = (numbers - numbers.mean(axis=0))[:, spread > 0] / spread[spread > 0]
        return varied

    @property
    def known(self) -> Targets:
        """The labels, for a score that needs them."""
        assert self.labels is not None
        return self.labels

    @property
    def onehot(self) -> Floats:
        """(n, K) indicators of the K classes that occur."""
        indicators: Floats = (self.known[:, None] == np.unique(self.known)).astype(np.float64)
        return indicators


class Score(Component, ABC):
    """A forecast of how well a source serves a target, from frozen features alone."""

    paper: ClassVar[str]
    """The paper that defines it."""
    needs: ClassVar[tuple[str, ...]] = ("labels",)
    """Parts of `Features` that must be there: "labels", "posteriors", "source"."""
    higher_is_better: ClassVar[bool] = True
    takes_numbers: ClassVar[bool] = False
    """Whether it also takes labels that are numbers; most scores take classes only."""

    @classmethod
    def is_of_numbers_too(cls) -> bool:
        """Return whether the score is defined for a target whose labels are numbers."""
        return cls.takes_numbers or "labels" not in cls.needs

    def __call__(self, features: Features) -> Value:
        """Return the score with its bounds, or the reason why there is none."""
        started = time.perf_counter()
        try:
            self._check(features)
            found = self._judged(self.compute(features), features)
        except UndefinedScoreError as error:
            found = {"value": None, "reason": str(error)}
        spent = round(time.perf_counter() - started, 4)
        return Value(**found, higher_is_better=self.higher_is_better, seconds=spent)

    @abstractmethod
    def compute(self, features: Features) -> float:
        """Return the score.

        Raises:
            UndefinedScoreError: it is not defined on these features.
        """

    def bounds(self, features: Features) -> tuple[float, float]:
        """Return the least and greatest possible value on these features."""
        return -math.inf, math.inf

    def remarks(self, features: Features) -> tuple[str, ...]:
        """Return remarks on what makes the value less informative than it looks."""
        return ()

    def _check(self, features: Features) -> None:
        for part in self.needs:
            if getattr(features, part) is None:
                raise UndefinedScoreError(features.absent.get(part, ABSENT[part]))
        if not bool(np.isfinite(features.target).all()):
            raise UndefinedScoreError("some features are not finite")
        if features.of_numbers and not self.is_of_numbers_too():
            raise UndefinedScoreError("the labels are numbers, and this score is of classes")
        if "labels" not in self.needs:
            return
        if features.of_numbers and not features.standardised.size:
            raise UndefinedScoreError("all labels are alike")
        if not features.of_numbers and len(features.counts) < 2:
            raise UndefinedScoreError("fewer than two classes among the labels")

    def _judged(self, value: float, features: Features) -> dict[str, Any]:
        if not math.isfinite(value):
            raise UndefinedScoreError("the computation gave no finite number")
        low, high = self.bounds(features)
        slack = ROUNDING * max(1.0, abs(value))
        return {
            "value": float(value),
            "low": _told(low),
            "high": _told(high),
            "out_of_bounds": not low - slack <= value <= high + slack,
            "remarks": self.remarks(features),
        }


def _told(bound: float) -> float | None:
    return float(bound) if math.isfinite(bound) else None


def entropy(labels: Ints) -> float:
    """Return the empirical entropy of labels in nats."""
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(share * np.log(share)).sum())


def centred(features: Floats) -> Floats:
    """Return features minus their mean."""
    found: Floats = features - features.mean(axis=0)
    return found


def principal(features: Floats, kept: int | float) -> Floats:
    """Return the scores of centred features on their leading principal components, (n, k).

    PCA leaves signs open; here the largest score (by size) of each component is positive.

    Args:
        features: (n, d).
        kept: most components to keep; or, below 1, the least share of the variance to keep.

    Raises:
        UndefinedScoreError: all examples have the same features.
    """
    left, spread, _ = np.linalg.svd(centred(features), full_matrices=False)
    rank = int((spread > spread[0] * 1e-10).sum()) if spread[0] > 0 else 0
    if rank == 0:
        raise UndefinedScoreError("all examples have the same features")
    if kept < 1:
        share = np.cumsum(spread**2) / (spread**2).sum()
        kept = int(np.searchsorted(share, kept - 1e-12)) + 1
    k = min(int(kept), rank)
    largest = np.take_along_axis(left, np.abs(left).argmax(axis=0)[None], axis=0)[:, :k]
    found: Floats = left[:, :k] * spread[:k] * np.sign(largest)
    return found
