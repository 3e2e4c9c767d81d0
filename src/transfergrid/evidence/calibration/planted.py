"""Planted truth: simulated families of arms with a known true gain.

A run gets an item right if a normal latent variable lies below the quantile of the run's accuracy.
The latent variable is the sum of three parts: the item's difficulty, shared by all arms; its
difficulty for one arm, shared by the arm's seeds; and the rest, which belongs to this run. The
run's accuracy is that of its arm plus an effect of the seed block, shared by all arms, plus an
effect of its own. Both effects have mean zero and are added to the accuracy itself, so the gain
over the population of seeds and items is exactly the planted one. The test set is drawn anew in
each simulation, and the truth is never a gain on that test set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.errors import BadInputError

SHARED = 1.6
"""The sd of the block's effect on all arms divided by the sd of a paired gain: ten published splits
have a paired sd of 1.68 and an unpaired one of 4.17 points, and sqrt((4.17² - 1.68²) / 2) = 1.6 ×
1.68."""
SPREAD = 0.8
"""The sigma of the lognormal whose mirror image is the skewed effect: its skewness is then -3.7."""
_AT_ONCE = 6_000_000  # latent values in memory at a time


class Scenario(StrEnum):
    """The shape of the seed's effect on a gain."""

    NORMAL = "normal"
    HEAVY_TAILS = "heavy_tails"
    """Student's t with 3 degrees of freedom."""
    SKEW = "skew"
    """A mirrored lognormal: mostly slightly better, sometimes much worse."""
    COLLAPSE = "collapse"
    """Some runs of the arms predict one class; the others compensate, so that the planted gain
    holds."""
    COLLAPSE_ONLY = "collapse_only"
    """Some runs of the arms predict one class, and the gain consists of this alone: it is
    negative."""


COLLAPSING = (Scenario.COLLAPSE, Scenario.COLLAPSE_ONLY)


@dataclass(frozen=True)
class Noise:
    """The noise in a grid; the defaults resemble 360 test items of a small target.

    Args:
        items: number of test items.
        sd: sd of the paired gain over seeds, in points, on an infinite test set.
        accuracy: accuracy of an arm that does not collapse, in per cent.
        disagreement: per cent of the items that exactly one of two equally accurate arms gets
            right.
        same_arm: per cent of the items that exactly one of two seeds of an arm gets right.
        classes: number of classes, which determines the score of a collapsed run.
        collapse: share of an arm's runs that collapse, in the scenarios with collapses.

    Raises:
        BadInputError: a value is impossible.
    """

    items: int = 360
    sd: float = 1.0
    accuracy: float = 85.0
    disagreement: float = 15.0
    same_arm: float = 9.0
    classes: int = 10
    collapse: float = 0.1

    def __post_init__(self) -> None:
        if self.items < 2 or self.classes < 2 or not 0 <= self.sd < 50:
            raise BadInputError(
                "it takes 2 or more test items and classes and an sd from 0 to 50: "
                f"{self.items}, {self.classes} and {self.sd:g}"
            )
        if not 0 < self.accuracy < 100 or not 0 <= self.collapse < 1:
            raise BadInputError(
                "it takes an accuracy between 0 and 100 % and a share of collapses from 0 to below "
                f"1: {self.accuracy:g} and {self.collapse:g}"
            )
        most = self.accuracy * (100 - self.accuracy) / 50
        if not 0 < self.same_arm <= self.disagreement <= most + 1e-9:
            raise BadInputError(
                f"at {self.accuracy:g} % accuracy unrelated runs disagree on {most:.3g} % of the "
                f"items: seeds ({self.same_arm:g} %) and arms ({self.disagreement:g} %) may "
                "disagree on no more, and arms not on less than seeds"
            )

    def correlations(self) -> tuple[float, float]:
        """Return the latent correlation of two arms, and of two seeds of an arm."""
        right = self.accuracy / 100
        both = [right - share / 200 for share in (self.disagreement, self.same_arm)]
        across, within = (correlation(right, right, value) for value in both)
        return across, max(across, within)


def correlation(one: float, other: float, both: float) -> float:
    """Return the correlation (0 to 1) of two latent variables behind two accuracies.

    This is the tetrachoric correlation. The derivative of the share of items that both get right,
    with respect to the correlation, is the bivariate normal density; it is integrated here over
    arcsin r.

    Args:
        one: accuracy of the first, between 0 and 1.
        other: accuracy of the second.
        both: share of the items that both get right.
    """
    correlations, shares = _both_right(one, other)
    return float(np.interp(both, shares, correlations))


def disagreement(accuracy: float, at: float) -> float:
    """Return the share of items that exactly one of two equally accurate runs gets right.

    Args:
        accuracy: accuracy of both, between 0 and 1.
        at: their latent correlation.
    """
    correlations, shares = _both_right(accuracy, accuracy)
    return float(2 * (accuracy - np.interp(at, correlations, shares)))


def _both_right(one: float, other: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.special import ndtri

    a, b = float(ndtri(one)), float(ndtri(other))
    angle = np.linspace(0, np.pi / 2, 4001)[:-1]
    density = np.exp(-(a * a - 2 * a * b * np.sin(angle) + b * b) / (2 * np.cos(angle) ** 2))
    steps = (density[1:] + density[:-1]) / 2 * (angle[1] / (2 * np.pi))
    return np.sin(angle), one * other + np.concatenate([[0.0], steps.cumsum()])


@dataclass(frozen=True)
class Drawn:
    """Random draws for a chunk of simulations (s), shared by all truths that are planted in it.

    `arms` counts the baseline, which comes first, and the family's arms.
    """

    latent: NDArray[np.float32]
    """(s, arms, blocks, items), standard normal."""
    shared: NDArray[np.float64]
    """(s, 1, blocks), standard normal: the block's effect on all arms."""
    own: dict[Scenario, NDArray[np.float64]]
    """(s, arms, blocks), mean 0: each arm's own effect, scaled so that a gain has sd 1."""
    collapses: NDArray[np.float64]
    """(s, arms, blocks), uniform: a run collapses if its value is below the share of collapses."""
    predicted: NDArray[np.int64]
    """(s, arms, blocks): the class that a collapsed run predicts."""
    classes: NDArray[np.int64]
    """(s, items), the true classes."""


def draw(
    noise: Noise, family: int, blocks: int, simulations: int, seed: int = 0
) -> Iterator[Drawn]:
    """Yield the random draws of all simulations, in chunks; deterministic for equal arguments.

    Raises:
        BadInputError: the seed is negative.
    """
    if seed < 0:
        raise BadInputError(f"a random seed is 0 or more: {seed}")
    rng = np.random.default_rng(seed)
    most = max(_AT_ONCE // ((family + 1) * blocks * noise.items), 1)
    correlations = noise.correlations()
    for start in range(0, simulations, most):
        shape = (min(most, simulations - start), family + 1, blocks)
        yield Drawn(
            _latent(rng, shape, noise.items, *correlations),
            rng.standard_normal((shape[0], 1, blocks)),
            _own(rng, shape),
            rng.random(shape),
            rng.integers(0, noise.classes, shape),
            rng.integers(0, noise.classes, (shape[0], noise.items)),
        )


def _latent(
    rng: np.random.Generator, shape: tuple[int, int, int], items: int, across: float, within: float
) -> NDArray[np.float32]:
    def normal(*size: int) -> NDArray[np.float32]:
        return rng.standard_normal(size, dtype=np.float32)

    simulations, arms, blocks = shape
    found = normal(simulations, arms, blocks, items)
    found *= np.float32((1 - within) ** 0.5)
    found += np.float32((within - across) ** 0.5) * normal(simulations, arms, 1, items)
    found += np.float32(across**0.5) * normal(simulations, 1, 1, items)
    return found


def _own(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> dict[Scenario, NDArray[np.float64]]:
    """Return the runs' own effects; skewed ones for arms only, lest a difference be symmetric."""
    normal, chi_square = rng.standard_normal(shape), rng.chisquare(3, shape)
    mean = np.exp(SPREAD**2 / 2)
    skewed = (mean - np.exp(SPREAD * normal)) / (mean * np.expm1(SPREAD**2) ** 0.5)
    skewed[:, 0] = 0
    even = normal * 0.5**0.5
    heavy = even / chi_square**0.5  # t with 3 degrees of freedom, divided by its sd sqrt(3)
    shapes = dict.fromkeys(Scenario, even)
    return shapes | {Scenario.HEAVY_TAILS: heavy, Scenario.SKEW: skewed}


def truth(noise: Noise, scenario: Scenario, gain: float, family: int) -> NDArray[np.float64]:
    """Return the true gains (family,) in points: the gain for the first arm, zero for the others.

    In `COLLAPSE_ONLY` each arm has the gain that follows from its collapses.
    """
    if scenario is Scenario.COLLAPSE_ONLY:
        return np.full(family, noise.collapse * (100 / noise.classes - noise.accuracy))
    return np.array([gain] + [0.0] * (family - 1))


def run(noise: Noise, scenario: Scenario, gain: float, drawn: Drawn) -> NDArray[np.bool_]:
    """Return which items each run gets right (s, arms, blocks, items), the baseline first.

    Raises:
        BadInputError: the accuracy leaves no room for the gain.
    """
    from scipy.special import ndtri

    level = _levels(noise, scenario, gain, drawn.own[scenario].shape[1])[:, None]
    room = np.minimum(level, 100 - level)
    effect = np.minimum(SHARED * noise.sd, room / 4) * drawn.shared  # so that few runs reach 100
    effect = effect + noise.sd * drawn.own[scenario]
    quantiles = ndtri((level + np.clip(effect, -room, room)) / 100)
    right: NDArray[Any] = drawn.latent < quantiles[..., None].astype(np.float32)
    if scenario in COLLAPSING:
        collapsed = drawn.collapses < noise.collapse
        collapsed[:, 0] = False  # the baseline's runs
        test = np.nonzero(collapsed)[0]
        right[collapsed] = drawn.classes[test] == drawn.predicted[collapsed][:, None]
    return right


def _levels(noise: Noise, scenario: Scenario, gain: float, arms: int) -> NDArray[np.float64]:
    """Return the accuracies (arms,) of runs that do not collapse."""
    kept = 1 - noise.collapse if scenario in COLLAPSING else 1.0
    gains = truth(noise, scenario, gain, arms - 1)
    base = kept * noise.accuracy + (1 - kept) * 100 / noise.classes - gains[0]
    levels = np.concatenate([[base], (base + gains - (1 - kept) * 100 / noise.classes) / kept])
    if levels.min() <= 1 or levels.max() >= 100:
        raise BadInputError(f"an accuracy of {noise.accuracy:g} % leaves no room for gain={gain:g}")
    return levels


def chance_of_none(share: float, blocks: Sequence[int]) -> list[float]:
    """Return the probability that no run of an arm collapses, for each number of blocks."""
    return [(1 - share) ** n for n in blocks]
