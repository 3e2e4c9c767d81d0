"""What this process is doing now, told to whoever started it; by default to nobody."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

TRAINS_SOURCE = "training source"
"""What the telling of a source's training begins with."""
GOES_ON = "going on at step"
"""What is told first of a run that another process had begun."""
ALONE = "seeds are trained one by one"
"""What is told where cells were to be trained side by side and are not."""
_STEP = re.compile(r"step ([0-9]{1,15}) of ([0-9]{1,15})")
Listener = Callable[[str], None]
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Let this be told from now on what the process does."""
    global _listener
    _listener = listener


def tell(stage: str) -> None:
    """Say in a few words what is done from now on, such as "training source mnist"."""
    if _listener is not None:
        _listener(stage)


def tell_step(step: int, steps: int) -> None:
    """Say how many of the steps are done."""
    tell(f"step {step} of {steps}")


def how_far(told: str) -> dict[str, Any]:
    """Return what was told as `step` and `steps`, else as what is being done, under `doing`."""
    found = _STEP.fullmatch(told)
    if found:
        return {"step": int(found[1]), "steps": int(found[2])}
    return {"doing": told} if told else {}
