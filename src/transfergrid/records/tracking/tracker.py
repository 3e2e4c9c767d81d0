"""Trackers, which receive the numbers of a run while it runs: the interface, and `NoTracker`.

The tracker for W&B is in `wandb_tracker`.
"""

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
    """What a tracker needs to know about a run before it starts.

    Args:
        id: id of the run within its ledger; all attempts at the same run have the same id.
        name: name for people.
        group: the cell without its seed.
        job_type: `pretrain`, `adapt` or `verdict`.
        tags: study, strategy, source, target.
        config: the full config, including the seed.
        results: the folder of results, for trackers that write files.
        agent: the agent's run, if an agent created it; `id` is then used unchanged.
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
    """What a run shows in addition to its numbers.

    Args:
        tables: for each key the column names and the rows; values of a column have one type, or are
            None.
        pictures: for each key captions with PNG files.
        alert: title and text of a message to the user; None for no message.
    """

    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]] = field(
        default_factory=dict
    )
    pictures: Mapping[str, Sequence[tuple[str, bytes]]] = field(default_factory=dict)
    alert: tuple[str, str] | None = None


class Tracker(Protocol):
    """Interface of trackers: receives the numbers of a run."""

    def start(self, card: RunCard) -> None:
        """Open the run."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send values at a step; steps never go back."""

    def show(self, exhibit: Exhibit) -> None:
        """Send tables, pictures and an alert."""

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Send the summary of the run and close it."""


class NoTracker(Part):
    """A tracker that does nothing."""

    def start(self, card: RunCard) -> None:
        """Open nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send nothing."""

    def show(self, exhibit: Exhibit) -> None:
        """Show nothing."""

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Close nothing."""


class SafeTracker:
    """Catches all errors of a tracker: of each run the first is printed to stderr, others ignored.

    Args:
        tracker: any tracker; it may raise any exception.
        aside: context in which the tracker is called, whose time does not count as cost of the run.
    """

    def __init__(
        self, tracker: Tracker, aside: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._tracker, self._aside, self._name, self._well = tracker, aside, "", True

    def start(self, card: RunCard) -> None:
        """Open the run, even if the one before had an error."""
        self._name, self._well = card.name, True
        self._attempt(self._tracker.start, card)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send values, unless this run had an error."""
        if self._well:
            self._attempt(self._tracker.log, values, step)

    def show(self, exhibit: Exhibit) -> None:
        """Send tables, pictures and an alert, unless this run had an error."""
        if self._well:
            self._attempt(self._tracker.show, exhibit)

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Close the run, even after an error, so that the next run is not written into it."""
        self._attempt(self._tracker.finish, summary, failed)

    @property
    def place(self) -> str | None:
        """The destination of the last run; None after an error, or if the tracker has none."""
        return getattr(self._tracker, "place", None) if self._well else None

    def _attempt(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            with self._aside():
                act(*arguments)
        except Exception as error:  # any error: tracking must never make a cell fail
            if self._well:
                what = getattr(act, "__name__", "tracking")
                warn(f"{self._name} is not tracked, {what} failed: {_named(error)}")
            self._well = False


@contextmanager
def tracked(tracker: Tracker, card: RunCard) -> Iterator[dict[str, Any]]:
    """Open a run for the block and give it a dict; close the run with that dict as its summary.

    The run is also closed if the block raises, and is then marked as failed.
    """
    tracker.start(card)
    summary: dict[str, Any] = {}
    try:
        yield summary
    except BaseException as error:  # Ctrl-C too: the next run would be written into an open run
        tracker.finish({**summary, "failed": _named(error)}, failed=True)
        raise
    tracker.finish(summary)


def unique(name: str) -> str:
    """Return a new run id: the name with a random suffix."""
    return f"{name}-{secrets.token_hex(3)}"


def warn(line: str) -> None:
    """Print a warning of one line to standard error."""
    printing.warn(line)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {as_line(error, 300)}"
