"""A worker process as the grid sees it: what it is given, what it says, how it ends."""

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

LOG_TAIL = 200_000  # bytes of a failed cell's output that are kept
READ_BYTES = 1 << 16
TELLS = signal.SIGUSR1
"""What a worker answers with where it is."""


def new_log() -> IO[bytes]:
    """Return a file for what a worker prints, of no name that could be left behind."""
    log = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
    appends = fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND  # or it has a gap where it was cut
    fcntl.fcntl(log, fcntl.F_SETFL, appends)
    return log


class Answers:
    """What a process writes, by lines, of which none is held where `select` does not see it.

    A buffered stream would read two lines at once, give one, and keep the other without a sign
    that anything is left: whoever waits for the pipe then waits for ever.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._rest = stream, b""

    def fileno(self) -> int:
        """Return the pipe, to wait for."""
        return self._stream.fileno()

    def lines(self) -> list[str]:
        """Return the lines that are there, none if the first is not whole yet.

        Where there will be no more, the last has no end; it may be empty. It waits only if there
        is nothing to be read.
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
    """Holds its log, and all that its libraries leave in temporary folders; goes with it."""
    cell: Cell | None = None
    since: float = 0.0
    """When it was given its cell, or first said that it does it, by the steady clock."""
    has_begun: bool = False
    """Has it said anything of its cell? Before that it may be importing."""
    began: str = ""
    """When it was given its cell, as ISO 8601 time."""
    doing: str = ""
    """What it does that is no step of the cell's own, such as training its source."""

    @property
    def lasted(self) -> float:
        """For how many seconds it has had its cell."""
        return time.monotonic() - self.since

    @cached_property
    def answers(self) -> Answers:
        """Where the worker writes what it does, and one line more a cell."""
        assert self.process.stdout is not None
        return Answers(self.process.stdout)

    def give(self, cell: Cell, order: Config) -> None:
        """Send a cell."""
        self.cell, self.since, self.began, self.doing = cell, time.monotonic(), now(), ""
        self.has_begun = False
        self.log.truncate(0)
        self.send({"cell": asdict(cell), **order})

    def begins(self) -> None:
        """Take note that it has said something of its cell."""
        if not self.has_begun:
            self.since, self.has_begun = time.monotonic(), True

    def send(self, order: Config) -> None:
        """Send an order; if the process is dead, the end of its answers will tell."""
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
        """Let it write into its log where each of its threads is, be it in a hanging library."""
        with suppress(ProcessLookupError, PermissionError):
            self.process.send_signal(TELLS)
            time.sleep(0.5)

    def ask(self) -> None:
        """Ask the process to go; one in the midst of a cell leaves first what it has of it."""
        with suppress(ProcessLookupError, PermissionError):
            self.process.terminate()

    def end(self) -> None:
        """Kill the process and those that it started; do not wait until they are gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End the process, whatever it is doing, and those that it started."""
        self.end()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # an order that it did not live to read
                    stream.close()
        self.log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
