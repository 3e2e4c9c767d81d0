"""A worker process as the grid sees it: orders in, answers out, and how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from transfergrid.records.cell import Cell
from transfergrid.records.factory import Config
from transfergrid.records.provenance import now

LOG_TAIL = 200_000  # bytes kept of a failed cell's output
READ_BYTES = 1 << 16
TELLS = signal.SIGUSR1
"""Signal on which a worker writes the stack of each thread into its log."""


def new_log() -> IO[bytes]:
    """Return an unnamed temporary file for what a worker prints: nothing is left behind."""
    log = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
    appends = fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND  # else truncating it leaves a gap
    fcntl.fcntl(log, fcntl.F_SETFL, appends)
    return log


class Answers:
    """Reads a process's lines from a pipe without hiding any of them from `select`.

    A buffered stream may read two lines at once, return one and keep the other in its buffer. The
    pipe is then empty, and a `select` on it waits for ever.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._rest = stream, b""

    def fileno(self) -> int:
        """Return the pipe's file descriptor, for `select`."""
        return self._stream.fileno()

    def lines(self) -> list[str]:
        """Return the complete lines that have arrived; none if the first is still incomplete.

        At the end of the stream the last item has no newline; it may be empty. Blocks only if there
        is nothing to read.
        """
        told = os.read(self.fileno(), READ_BYTES)
        *whole, self._rest = (self._rest + told).split(b"\n")
        found = [line.decode(errors="replace") + "\n" for line in whole]
        return found if told else [*found, self._rest.decode(errors="replace")]


@dataclass
class Worker:
    """One worker process, its slot and the cell that it is running."""

    slot: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    scratch: Path
    """Folder for all its temporary files; removed when the process ends."""
    cell: Cell | None = None
    since: float = 0.0
    """Monotonic time at which it was given its cell, then at which it first reported on it."""
    has_begun: bool = False
    """Whether it has reported on its cell; before that it may still be importing."""
    began: str = ""
    """ISO 8601 time at which it was given its cell."""
    doing: str = ""
    """Its stage if that is not a step of the cell itself, such as training its source."""

    @property
    def lasted(self) -> float:
        """Seconds since `since`."""
        return time.monotonic() - self.since

    @cached_property
    def answers(self) -> Answers:
        """The worker's output: lines that report its stage, and one answer per cell or check."""
        assert self.process.stdout is not None
        return Answers(self.process.stdout)

    def give(self, cell: Cell, order: Config) -> None:
        """Send an order with a cell, and empty the log."""
        self.cell, self.since, self.began, self.doing = cell, time.monotonic(), now(), ""
        self.has_begun = False
        self.log.truncate(0)
        self.send({"cell": asdict(cell), **order})

    def begins(self) -> None:
        """Note that it has reported on its cell: its time counts from its first report."""
        if not self.has_begun:
            self.since, self.has_begun = time.monotonic(), True

    def send(self, order: Config) -> None:
        """Send an order; if the process is dead, reading its answers will show it."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()

    def said(self) -> str:
        """Return the end of what it printed during the current cell."""
        size = os.fstat(self.log.fileno()).st_size
        text = os.pread(self.log.fileno(), LOG_TAIL, max(0, size - LOG_TAIL))
        return text.decode(errors="replace")

    def tell_where(self) -> None:
        """Let it write the stack of each thread into its log, even if a library hangs."""
        with suppress(ProcessLookupError, PermissionError):
            self.process.send_signal(TELLS)
            time.sleep(0.5)

    def ask(self) -> None:
        """Ask the process to end; in the middle of a cell it first writes a checkpoint."""
        with suppress(ProcessLookupError, PermissionError):
            self.process.terminate()

    def end(self) -> None:
        """Kill the process and its child processes; do not wait for their end."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Kill the process and its child processes, wait for its end, remove its files."""
        self.end()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # an order that it died without reading
                    stream.close()
        self.log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
