"""Caches Lightning's search for plugins in all installed packages, done for each new Trainer."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from lightning_fabric.utilities import registry

LOOKED_UP = entry_points.__name__
"""Name, in Lightning's module `registry`, of the function that finds packages with callbacks."""


@cache
def found_once() -> None:
    """Let a process look for packages with callbacks only once: it takes longer than a step.

    A version of Lightning that looks in another way is not affected.
    """
    setattr(registry, LOOKED_UP, cache(entry_points))
