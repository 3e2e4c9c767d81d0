"""Progress messages of this process, sent to a listener; by default there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

TRAINS_SOURCE = "training source"
"""Prefix of the message about the training of a source."""
GOES_ON = "going on at step"
"""Prefix of the first message of a run that resumes from a checkpoint."""
ALONE = "seeds are trained one by one"
"""Message if seeds cannot be stacked, that is, trained side by side, although requested."""
_STEP = re.compile(r"step ([0-9]{1,15}) of ([0-9]{1,15})")
Listener = Callable[[str], None]
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Set the function that receives progress messages; None for no listener."""
    global _listener
    _listener = listener


def tell(stage: str) -> None:
    """Report the current stage in a few words, such as "training source mnist"."""
    if _listener is not None:
        _listener(stage)


def tell_step(step: int, steps: int) -> None:
    """Report how many of the steps are done."""
    tell(f"step {step} of {steps}")


def how_far(told: str) -> dict[str, Any]:
    """Return a message as a dict: `step` and `steps` if it reports steps, else `doing`."""
    found = _STEP.fullmatch(told)
    if found:
        return {"step": int(found[1]), "steps": int(found[2])}
    return {"doing": told} if told else {}
