"""Shows the progress of a grid: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from transfergrid.records.printing import one_line, roughly, say
from transfergrid.records.process.telling import TRAINS_SOURCE

if TYPE_CHECKING:
    from rich.console import RenderableType


SLOW_SECONDS = 0.5
QUIET_SECONDS = 30
"""Seconds without a line after which the next stage of a worker is printed."""


class Progress(Protocol):
    """Shows every cell that ends, and what workers do meanwhile."""

    def ended(self, label: str, reason: str | None, to_go: float | None) -> None:
        """Count a cell; `reason` says why it failed, `to_go` is the forecast of seconds left."""

    def doing(self, slot: int, what: str, detail: str = "") -> None:
        """Show what a worker is doing now, and its progress in that."""

    def remark(self, line: str) -> None:
        """Show a line that is not about a single cell."""


class Silent:
    """Shows nothing."""

    def ended(self, label: str, reason: str | None, to_go: float | None) -> None:
        """Count nothing."""

    def doing(self, slot: int, what: str, detail: str = "") -> None:
        """Show nothing."""

    def remark(self, line: str) -> None:
        """Show nothing."""


class _Live(RichProgress):
    """A bar, and below it a line for each worker that says what it is doing."""

    now: dict[int, str]

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for _, what in sorted(self.now.items()):
            yield Text(f"  {what}", style="dim", no_wrap=True, overflow="ellipsis")


class Bar:
    """One line with done, failed, left and time to go; workers' stages below, failures above."""

    def __init__(self, rich: _Live, total: int, done: int) -> None:
        self.rich, self.failed, self.left = rich, 0, total - done
        self.task = rich.add_task(
            "grid", total=total, completed=done, failed=0, left=self.left, to_go=""
        )

    def ended(self, label: str, reason: str | None, to_go: float | None) -> None:
        """Advance the bar."""
        if reason is not None:
            self.failed += 1
            self.remark(f"failed: {label}: {reason}")
        self.left -= 1
        told = "" if to_go is None or not self.left else f", {roughly(to_go)} to go"
        self.rich.update(self.task, advance=1, failed=self.failed, left=self.left, to_go=told)

    def doing(self, slot: int, what: str, detail: str = "") -> None:
        """Show it below the bar."""
        self.rich.now[slot] = one_line(f"{detail}, {what}" if detail else what)

    def remark(self, line: str) -> None:
        """Print above the bar."""
        self.rich.console.print(one_line(line), markup=False, highlight=False)


class Lines:
    """One line per ended cell; stages of workers before the first one and after long silence."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.number, self.none_yet = total, done, True
        self.told: set[str] = set()
        self.at = time.monotonic()

    def ended(self, label: str, reason: str | None, to_go: float | None) -> None:
        """Print the cell's line."""
        self.number, self.none_yet = self.number + 1, False
        rest = "" if to_go is None or self.number == self.total else f", {roughly(to_go)} to go"
        word = f"failed: {reason}" if reason is not None else "done"
        self.remark(f"[{self.number}/{self.total}{rest}] {label}: {word}")

    def doing(self, slot: int, what: str, detail: str = "") -> None:
        """Print it if no cell has ended yet, if a source is trained, or after a long silence."""
        is_news = what not in self.told and (self.none_yet or what.startswith(TRAINS_SOURCE))
        if is_news or time.monotonic() - self.at > QUIET_SECONDS:
            self.told.add(what)
            self.remark(f"{what}: {detail}" if detail else what)

    def remark(self, line: str) -> None:
        """Print a line."""
        self.at = time.monotonic()
        say(one_line(line), flush=True)


@contextmanager
def told_if_slow(line: str, after: float = SLOW_SECONDS) -> Iterator[None]:
    """Print a line if the block takes longer than `after` seconds."""
    timer = threading.Timer(after, print, (line,), {"flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def progress(kind: str, total: int, done: int) -> Iterator[Progress]:
    """Show progress as a `bar` or `lines`; `auto` shows a bar where stdout is a terminal."""
    if kind == "lines" or (kind == "auto" and not sys.stdout.isatty()):
        yield Lines(total, done)
        return
    columns = (
        BarColumn(bar_width=16),
        TextColumn("{task.completed} of {task.total} cells,"),
        TextColumn("{task.fields[failed]} failed, {task.fields[left]} left{task.fields[to_go]}"),
    )
    _Live.now = {}
    with _Live(*columns, console=Console()) as rich:
        yield Bar(rich, total, done)
