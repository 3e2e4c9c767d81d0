"""Pairs of curves made up for tests."""

import numpy as np

from transfergrid.evidence.curves.measures import Axis, Both


def pair(arm, baseline, x=(2, 20), axis=Axis.LABELS):
    """Return curves of scores (blocks, points), of one item each."""
    arm, baseline = (np.array(side, dtype=float)[:, None, :] for side in (arm, baseline))
    return Both(axis, np.array(x, dtype=float), arm, baseline)


def noisy(rng, means, blocks=5, sd=1.0):
    """Return scores (blocks, points) around these means, blocks apart by as much again."""
    means = np.asarray(means, dtype=float)
    luck = rng.normal(0, sd, (blocks, 1))
    return means + luck + rng.normal(0, sd, (blocks, len(means)))


def both_noisy(seed=0, arm=(70, 80, 90), baseline=(50, 70, 90), x=(2, 8, 32), **options):
    rng = np.random.default_rng(seed)
    return pair(noisy(rng, arm), noisy(rng, baseline), x, **options)


def swapped(both):
    return Both(both.axis, both.x, both.baseline, both.arm, both.scope)
