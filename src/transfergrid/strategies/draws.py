"""Random numbers within a step, for losses with more than one forward pass.

The driver seeds torch's generators at each step, so what a loss draws is fixed by seed and step.
The functions here keep the draws of one part of a loss from shifting those of another part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from transfergrid.records.seeds import stream_seed


@contextmanager
def same_draws(module: nn.Module) -> Iterator[None]:
    """Restore torch's random state on exit: what follows draws the same numbers as the inside.

    So an extra pass inside, with its dropout, changes no later draw.
    """
    device = next(module.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def own_generator(module: nn.Module, name: str) -> torch.Generator:
    """Return a new generator on a module's device, fixed by seed, step and a name.

    Drawing from it does not shift the draws of dropout. Each part of an accumulated batch gets the
    same numbers from it.
    """
    made = torch.Generator(next(module.parameters()).device)
    return made.manual_seed(stream_seed(torch.initial_seed(), name))
