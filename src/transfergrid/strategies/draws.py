"""Random numbers within a step, for losses that take more than one pass.

The driver seeds torch's generators at each step. Whatever a loss draws is then fixed by seed and
step; these keep what one part of it draws from moving what another one does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from transfergrid.records.seeds import stream_seed


@contextmanager
def same_draws(module: nn.Module) -> Iterator[None]:
    """Let whatever follows draw the numbers that are drawn inside, of dropout and the like."""
    device = next(module.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def own_generator(module: nn.Module, name: str) -> torch.Generator:
    """Return a generator for a module's device, fixed by seed, step and a name.

    Dropout draws what it would without it; each part of a batch draws the same from it.
    """
    made = torch.Generator(next(module.parameters()).device)
    return made.manual_seed(stream_seed(torch.initial_seed(), name))
