"""Independent random streams, each a function of a seed and a name.

Everything that a seed fixes (label subset, order, augmentation, head) draws from its own stream. So
an arm that draws more or fewer numbers from one stream does not change the others.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, *names: str | int) -> int:
    """Return the 63-bit seed of the stream that has these names under `seed`."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator at the start of the stream that has these names under `seed`."""
    return np.random.default_rng(stream_seed(seed, *names))
