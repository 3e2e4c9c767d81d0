"""Torch's own random numbers, at the start of a stream."""

from functools import cache

import torch


def seed_torch(seed: int) -> None:
    """Seed torch's generators: the CPU's, and those of every accelerator that is there.

    Where there is none, `torch.manual_seed` writes the call stack down three times over, for
    devices that never come. It is called at each step, and would take a tenth of a short one.
    """
    if _accelerated():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@cache
def _accelerated() -> bool:
    return torch.accelerator.is_available()
