"""Where the numbers of a run are sent while it runs: any tracker, and none; W&B's is beside it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from transfergrid.records import printing
from transfergrid.records.component import Part
from transfergrid.records.errors import as_line
from transfergrid.records.tracking.agents import AgentRun


@dataclass(frozen=True)
class RunCard:
    """What a tracker needs to know of a run before it starts.

    Args:
        id: the run's within its ledger; each attempt at the same thing has the same.
        name: for people.
        group: the cell without its seed.
        job_type: `pretrain`, `adapt` or `verdict`.
        tags: study, strategy, source, target.
        config: everything that was set, the seed included.
        results: the folder of results, for trackers that keep files.
        agent: whose run it is, if an agent has made it; then its id is taken as it is.
    """

    id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: dict[str, Any] = field(default_factory=dict)
    results: Path = Path("results")
    agent: AgentRun | None = None


@dataclass(frozen=True)
class Exhibit:
    """What a run shows beside its numbers.

    Args:
        tables: by key, the columns' names and the rows; a column's values are of one type, or None.
        pictures: by key, captions with PNG files.
        alert: title and text of what a person should hear of.
    """

    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]] = field(
        default_factory=dict
    )
    pictures: Mapping[str, Sequence[tuple[str, bytes]]] = field(default_factory=dict)
    alert: tuple[str, str] | None = None


class Tracker(Protocol):
    """Receives a run's numbers."""

    def start(self, card: RunCard) -> None:
        """Open the run."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send values at a step; steps never go back."""

    def show(self, exhibit: Exhibit) -> None:
        """Send tables, pictures and an alert."""

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Send what the run came to and close it."""


class NoTracker(Part):
    """Sends nothing anywhere."""

    def start(self, card: RunCard) -> None:
        """Open nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send nothing."""

    def show(self, exhibit: Exhibit) -> None:
        """Show nothing."""

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Close nothing."""


class SafeTracker:
    """Keeps a tracker's troubles from the run: the first is a line on stderr, the rest is silence.

    Args:
        tracker: any tracker; it may raise anything anywhere.
        aside: what is done in it is no part of what the run costs.
    """

    def __init__(
        self, tracker: Tracker, aside: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._tracker, self._aside, self._name, self._well = tracker, aside, "", True

    def start(self, card: RunCard) -> None:
        """Open the run, whatever became of the one before."""
        self._name, self._well = card.name, True
        self._attempt(self._tracker.start, card)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send values unless there was trouble in this run."""
        if self._well:
            self._attempt(self._tracker.log, values, step)

    def show(self, exhibit: Exhibit) -> None:
        """Send tables, pictures and an alert unless there was trouble in this run."""
        if self._well:
            self._attempt(self._tracker.show, exhibit)

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Close the run, after trouble too, so that the next one is not written into it."""
        self._attempt(self._tracker.finish, summary, failed)

    @property
    def place(self) -> str | None:
        """Where the last run was sent; None for a tracker that keeps none, or after trouble."""
        return getattr(self._tracker, "place", None) if self._well else None

    def _attempt(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            with self._aside():
                act(*arguments)
        except Exception as error:  # whatever it is, no cell is worth less than its tracker
            if self._well:
                what = getattr(act, "__name__", "tracking")
                warn(f"{self._name} is not tracked, {what} failed: {_named(error)}")
            self._well = False


@contextmanager
def tracked(tracker: Tracker, card: RunCard) -> Iterator[dict[str, Any]]:
    """Open a run and close it with what was put into the summary, also when the block raises."""
    tracker.start(card)
    summary: dict[str, Any] = {}
    try:
        yield summary
    except BaseException as error:  # Ctrl-C too: an open run would swallow the next one
        tracker.finish({**summary, "failed": _named(error)}, failed=True)
        raise
    tracker.finish(summary)


def unique(name: str) -> str:
    """Return a run id that was never used before."""
    return f"{name}-{secrets.token_hex(3)}"


def warn(line: str) -> None:
    """Print one line for the user."""
    printing.warn(line)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {as_line(error, 300)}"
