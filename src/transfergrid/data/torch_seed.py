"""Seeding of torch's global generators."""

from functools import cache

import torch


def seed_torch(seed: int) -> None:
    """Seed torch's global generators: the CPU's, and those of all accelerators.

    Without an accelerator, `torch.manual_seed` would record the call stack three times, to seed
    devices that may be initialised later. This function is called at each step, and that would
    take a tenth of a short step.
    """
    if _accelerated():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@cache
def _accelerated() -> bool:
    return torch.accelerator.is_available()
