"""How a cell ends that does not end by itself: said by whoever ran it, understood by whoever asks.

Both sides are here, so that neither changes without the other.
"""

from __future__ import annotations

import re

TIMEOUT, KILLED = "timeout", "worker killed"
"""What kind of end each is, in words."""

_TIMEOUT = re.compile(r"it took longer than trainer\.cell_timeout=")
_DIED = re.compile(r"its worker process ended with (.*?),? ?(?:twice)?$|whoever ran it died")


def timed_out(minutes: float) -> str:
    """Return the reason of a cell that was ended by `trainer.cell_timeout`."""
    return f"it took longer than trainer.cell_timeout={minutes:g} minutes"


def died_twice(how: str) -> str:
    """Return the reason of a cell whose worker process ended in both of its attempts.

    Args:
        how: the name of a signal, or an exit code in words.
    """
    return f"its worker process ended with {how}, twice"


def deserted(deaths: int) -> str:
    """Return the reason of a cell whose runners, on any machine, died so many times."""
    return f"whoever ran it died, {deaths} times"


def kind_of_end(reason: str) -> str | None:
    """Return `TIMEOUT`, or `KILLED` with how; None for a reason that is neither."""
    if _TIMEOUT.match(reason):
        return TIMEOUT
    if died := _DIED.match(reason):
        return f"{KILLED} ({died[1]})" if died[1] else KILLED
    return None
