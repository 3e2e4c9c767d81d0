"""Features made up for tests of scores."""

import numpy as np

from transfergrid.runs.scores.base import Features


def blobs(n_each=20, d=6, classes=4, apart=2.0, seed=0, **more):
    """Classes as Gaussian clouds of variance 1, their centres `apart` from the middle."""
    rng = np.random.default_rng(seed)
    sizes = [n_each] * classes if isinstance(n_each, int) else list(n_each)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = apart * rng.standard_normal((len(sizes), d))
    target = centres[labels] + rng.standard_normal((len(labels), d))
    return Features(target=target, labels=labels, classes=len(sizes), **more)


def changed(features, target):
    """The same labels on other features."""
    return Features(
        target=np.asarray(target, dtype=np.float64),
        labels=features.labels,
        classes=features.classes,
        posteriors=features.posteriors,
        source=features.source,
    )


def rotation(d, seed=1):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def random_posteriors(n, classes, seed=0, sharpness=1.0):
    logits = sharpness * np.random.default_rng(seed).standard_normal((n, classes))
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)
