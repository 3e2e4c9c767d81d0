"""What this process is doing now, told to whoever started it; by default to nobody."""

from __future__ import annotations

from collections.abc import Callable

TRAINS_SOURCE = "training source"
"""What the telling of a source's training begins with."""
GOES_ON = "going on at step"
"""What is told first of a run that another process had begun."""
ALONE = "seeds are trained one by one"
"""What is told where cells were to be trained side by side and are not."""
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
