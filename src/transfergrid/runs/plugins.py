"""What Lightning looks for in every package installed, each time that a Trainer is made."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from lightning_fabric.utilities import registry

LOOKED_UP = entry_points.__name__
"""How Lightning's module `registry` calls what finds packages that bring callbacks."""


@cache
def found_once() -> None:
    """Let a process look for packages that bring callbacks once: it takes longer than a step.

    Where another version of Lightning looks in another way, it looks as often as before.
    """
    setattr(registry, LOOKED_UP, cache(entry_points))
