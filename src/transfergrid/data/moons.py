"""Two moons in the plane under nine kinds of domain shift: a generated target.

The shifts and their sizes are those of Zhang, Deng, Zhang & Wu 2022, A survey on negative transfer
(arXiv:2009.00909), as in the generator of synthetic data that accompanies the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.outline import Outline
from transfergrid.data.vectors import Scaling, VectorExamples
from transfergrid.records.arguments import Count, NotNegative, Whole
from transfergrid.records.seeds import generator

Points = NDArray[np.float64]
Shift = Literal[
    "none",
    "translated",
    "scaled",
    "rotated",
    "sheared",
    "all",
    "skewed_classes",
    "salt_and_pepper",
    "overlapping",
    "sub_clusters",
]
CLASSES = ("upper", "lower")
COLUMNS = ("x", "y")

AWAY = 2.0
"""Translation of both coordinates."""
LARGER = 0.5
"""The scale is 1 plus this."""
ANGLE = np.pi / 4
SHEAR = 1.5
"""This multiple of x is added to y."""
ALL = (2.0, np.pi / 4, 1.0, 1.0)
"""The shift "all": translation, angle, growth (scale less 1) and shear."""
SKEW = 1.5
"""Largest displacement of the upper moon's points, in their standard deviations."""
PEPPER = 0.1
"""Share of the points that are moved to uniformly random places."""
WIDER = 0.23
"""Added to the noise to make the moons overlap."""
CLUSTER = 1 / 6
"""Number of points of the sub-cluster, as a share of all other points."""
CENTRE, SPREAD = (-0.5, -0.5), 0.15
"""Mean and standard deviation of the sub-cluster."""


@dataclass(frozen=True, kw_only=True)
class Moons(Domain):
    """Two interleaved half circles with normal noise: points of two coordinates, a class each.

    The upper moon is (cos t, sin t), the lower one (1 - cos t, 0.5 - sin t), for t evenly spaced
    from 0 to pi. Domains with the same seed have the same points under each shift, so that they
    differ in the shift only; therefore a source takes another seed than its target. At strength 0
    no shift changes anything. At strength 1 the shifts are:

    - `translated` by 2 in both coordinates; `scaled` by 1.5; `rotated` by 45 degrees about the
      origin; `sheared`, 1.5 x added to y; `all` of them: translated by 2, rotated by 45 degrees,
      scaled by 2, sheared by 1;
    - `skewed_classes`: the points of the upper moon are moved to the upper right, each coordinate
      by up to 1.5 standard deviations of these points; the lower moon and the frequencies of the
      classes stay the same;
    - `salt_and_pepper`: a tenth of the points are moved anywhere in the box around all points;
    - `overlapping`: noise of 0.33 instead of 0.1;
    - `sub_clusters`: a sixth as many points are added at (-0.5, -0.5), all of the upper moon's
      class.

    Attributes:
        shift: the kind of shift.
        strength: size of the shift; 1 is the survey's.
        per_class: pool examples of each class, without those that `sub_clusters` adds.
        test_per_class: test examples of each class, likewise.
        noise: standard deviation of the points about their half circle.
        seed: of the points; the same for all seed blocks.
    """

    shift: Shift = "none"
    strength: NotNegative = 1.0
    per_class: Count = 300
    test_per_class: Count = 2500
    noise: NotNegative = 0.1
    seed: Whole = 0

    modality: ClassVar[str] = "vector"

    @property
    def classes(self) -> tuple[str, ...]:
        """The two moons."""
        return CLASSES

    @property
    def vector(self) -> tuple[str, ...]:
        """See `Domain.vector`."""
        return COLUMNS

    def outline(self) -> Outline:
        """See `Domain.outline`; nothing is drawn."""
        pool, test = (self._counts(n) for n in (self.per_class, self.test_per_class))
        return Outline(CLASSES, pool, test)

    def load(self) -> LoadedDomain:
        """Return points (n, 2), not standardised, because that would undo shifts."""
        pool = self._part("pool", self.per_class)
        return LoadedDomain(pool, self._part("test", self.test_per_class), CLASSES)

    def _counts(self, per_class: int) -> tuple[int, int]:
        more = CLUSTER * self.strength if self.shift == "sub_clusters" else 0.0
        return per_class + round(2 * per_class * more), per_class

    def _part(self, name: str, per_class: int) -> VectorExamples:
        """Draw one split; the shift has its own random stream."""
        labels = np.repeat(np.arange(2, dtype=np.int64), per_class)
        noise = generator(self.seed, "moons", name).normal(size=(2 * per_class, 2))
        wider = WIDER * self.strength if self.shift == "overlapping" else 0.0
        points = half_circles(per_class) + (self.noise + wider) * noise
        rng = generator(self.seed, "moons", name, self.shift)
        points, labels = _SHIFTS[self.shift](points, labels, self.strength, rng)
        return VectorExamples(points, labels, Scaling(COLUMNS))


def half_circles(per_class: int) -> Points:
    """Return points (2 per_class, 2): the upper half circle, then the lower one."""
    t = np.linspace(0, np.pi, per_class)
    upper, lower = (np.cos(t), np.sin(t)), (1 - np.cos(t), 0.5 - np.sin(t))
    return np.concatenate([np.column_stack(upper), np.column_stack(lower)])


Shifted = tuple[Points, NDArray[np.int64]]
Rule = Callable[[Points, NDArray[np.int64], float, np.random.Generator], Shifted]


def _affine(away: float, angle: float, growth: float, shear: float) -> Rule:
    """Return the rule that translates, then rotates, then scales, then shears.

    Args:
        away: translation of both coordinates.
        angle: in radians.
        growth: the scale less 1.
        shear: multiple of x that is added to y.
    """

    def shifted(
        points: Points, labels: NDArray[np.int64], strength: float, rng: np.random.Generator
    ) -> Shifted:
        if not strength:
            return points, labels
        cos, sin = np.cos(strength * angle), np.sin(strength * angle)
        rotated = (points + strength * away) @ np.array([[cos, sin], [-sin, cos]])
        x, y = ((1 + strength * growth) * rotated).T
        return np.column_stack([x, y + strength * shear * x]), labels

    return shifted


def _skewed(
    points: Points, labels: NDArray[np.int64], strength: float, rng: np.random.Generator
) -> Shifted:
    """Move each coordinate of the first class by a uniform amount up to `SKEW` deviations.

    As in the survey's generator, the standard deviation is one number for both coordinates
    together.
    """
    own = points[labels == 0]
    moved = points.copy()
    moved[labels == 0] = own + strength * SKEW * own.std() * rng.random(own.shape)
    return moved, labels


def _peppered(
    points: Points, labels: NDArray[np.int64], strength: float, rng: np.random.Generator
) -> Shifted:
    order, anywhere = rng.permutation(len(points)), rng.random(points.shape)
    low, high = points.min(axis=0), points.max(axis=0)
    rows = order[: round(min(1.0, PEPPER * strength) * len(points))]
    moved = points.copy()
    moved[rows] = low + (high - low) * anywhere[rows]
    return moved, labels


def _clustered(
    points: Points, labels: NDArray[np.int64], strength: float, rng: np.random.Generator
) -> Shifted:
    n = round(CLUSTER * strength * len(points))
    more = np.array(CENTRE) + SPREAD * rng.normal(size=(n, 2))
    return np.concatenate([points, more]), np.concatenate([labels, np.zeros(n, dtype=np.int64)])


_AS_IT_IS = _affine(0, 0, 0, 0)
_SHIFTS: dict[str, Rule] = {
    "none": _AS_IT_IS,
    "translated": _affine(AWAY, 0, 0, 0),
    "scaled": _affine(0, 0, LARGER, 0),
    "rotated": _affine(0, ANGLE, 0, 0),
    "sheared": _affine(0, 0, 0, SHEAR),
    "all": _affine(*ALL),
    "skewed_classes": _skewed,
    "salt_and_pepper": _peppered,
    "overlapping": _AS_IT_IS,
    "sub_clusters": _clustered,
}
