"""Scikit-learn's handwritten digits, which come with the library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfergrid.data.budgets import stratified_split
from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.outline import Outline, outlined

N_TEST = 797
SIZES = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
"""Images of each digit."""
BRIGHTEST = 16
"""The largest pixel value: a pixel counts the inked dots of a 4 x 4 square."""


@dataclass(frozen=True, kw_only=True)
class Digits(Domain):
    """1,797 handwritten digits of 8 x 8 pixels, a pool of 1,000 and 797 to test on.

    The split is stratified and fixed. Source: E. Alpaydin and C. Kaynak, Optical Recognition of
    Handwritten Digits, UCI Machine Learning Repository, 1998 (its test set).
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """The ten digits."""
        return tuple("0123456789")

    def outline(self) -> Outline:
        """See `Domain.outline`; computed from `SIZES`, without the library."""
        labels = np.repeat(np.arange(len(SIZES), dtype=np.int64), SIZES)
        test = stratified_split(labels, N_TEST, 0, "digits", "test")
        return outlined(self.classes, labels[~test], labels[test])

    def load(self) -> LoadedDomain:
        """Return images (n, 8, 8, 1) with values from 0 to 255."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / BRIGHTEST)).astype(np.uint8)[..., None]
        labels = bunch.target.astype(np.int64)
        test = stratified_split(labels, N_TEST, 0, "digits", "test")
        return LoadedDomain(
            pool=ArrayExamples(images[~test], labels[~test]),
            test=ArrayExamples(images[test], labels[test]),
            classes=self.classes,
        )
