"""Where the numbers of a run are sent while it runs; the only file that knows W&B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class RunCard:
    """What a tracker needs to know of a run before it starts.

    Args:
        id: unique to the run.
        name: for people.
        group: the cell without its seed.
        job_type: `pretrain`, `adapt` or `verdict`.
        tags: study, strategy, source, target.
        config: everything that was set, the seed included.
    """

    id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: dict[str, Any] = field(default_factory=dict)


class Tracker(Protocol):
    """Receives a run's numbers."""

    def start(self, card: RunCard) -> None:
        """Open the run."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send values at a step."""

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Send what the run came to and close it."""


class NoTracker:
    """Sends nothing anywhere."""

    def start(self, card: RunCard) -> None:
        """Open nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send nothing."""

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Close nothing."""
