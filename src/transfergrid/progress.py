"""How far a grid is: one bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress


class Progress(Protocol):
    """Is told of every cell that ends."""

    def ended(self, label: str, reason: str | None) -> None:
        """Count a cell; `reason` says why it failed."""

    def remark(self, line: str) -> None:
        """Show a line that is about no one cell."""


class Silent:
    """Shows nothing."""

    def ended(self, label: str, reason: str | None) -> None:
        """Count nothing."""

    def remark(self, line: str) -> None:
        """Show nothing."""


class Bar:
    """Done, failed, left and time to go on one line; failures stay above it."""

    def __init__(self, rich: RichProgress, total: int, done: int) -> None:
        self.rich, self.failed, self.left = rich, 0, total - done
        self.task = rich.add_task("grid", total=total, completed=done, failed=0, left=self.left)

    def ended(self, label: str, reason: str | None) -> None:
        """Advance the bar."""
        if reason is not None:
            self.failed += 1
            self.remark(f"failed: {label}: {reason}")
        self.left -= 1
        self.rich.update(self.task, advance=1, failed=self.failed, left=self.left)

    def remark(self, line: str) -> None:
        """Print above the bar."""
        self.rich.console.print(line, markup=False, highlight=False)


class Lines:
    """One line a cell."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.ended_before, self.count = total, done, 0
        self.started = time.monotonic()

    def ended(self, label: str, reason: str | None) -> None:
        """Print the line."""
        self.count += 1
        number = self.ended_before + self.count
        pace = (time.monotonic() - self.started) / self.count
        to_go = time.strftime("%H:%M:%S", time.gmtime(pace * (self.total - number)))
        word = f"failed: {reason}" if reason is not None else "done"
        self.remark(f"[{number}/{self.total}, {to_go} to go] {label}: {word}")

    def remark(self, line: str) -> None:
        """Print it."""
        print(line, flush=True)


@contextmanager
def progress(kind: str, total: int, done: int) -> Iterator[Progress]:
    """Show progress as a `bar` or `lines`; `auto` shows a bar where stdout is a terminal."""
    if kind == "lines" or (kind == "auto" and not sys.stdout.isatty()):
        yield Lines(total, done)
        return
    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.completed} of {task.total} cells,"),
        TextColumn("{task.fields[failed]} failed, {task.fields[left]} left,"),
        TimeRemainingColumn(),
        TextColumn("to go"),
    )
    with RichProgress(*columns, console=Console()) as rich:
        yield Bar(rich, total, done)
