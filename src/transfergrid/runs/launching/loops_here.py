"""Worker loops on this machine: a process each, with its share of the GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from transfergrid.runs.launching import processes
from transfergrid.runs.launching.joining import command
from transfergrid.runs.launching.launchers import Workers
from transfergrid.runs.launching.queue import Queue
from transfergrid.runs.launching.settings import cores_here

AFTER = 5.0
"""Seconds that a loop has to end, beyond the `GRACE` of its own workers."""


@dataclass
class LoopsHere:
    """Processes of this machine, in slots.

    Args:
        launcher: says which GPUs belong to a slot.
        queue: the queue that the loops run.
        count: number of slots.
        gpus: numbers of this machine's GPUs.
    """

    launcher: Workers
    queue: Queue
    count: int
    gpus: tuple[str, ...]
    _slots: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _deaths: list[str] = field(default_factory=list)
    _last: Path | None = None

    def start(self, number: int) -> None:
        """Start loops in free slots."""
        self._sweep()
        for slot in [s for s in range(self.count) if s not in self._slots][:number]:
            self._slots[slot] = self._started(slot)

    def _started(self, slot: int) -> subprocess.Popen[bytes]:
        threads = max(1, cores_here() // self.count)
        options = () if self.launcher.detach else ("--with-parent",)
        with self._log(slot).open("ab") as log:
            return subprocess.Popen(
                command(self.queue, threads, *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(slot),
                start_new_session=True,  # Ctrl-C reaches the grid alone, which then stops its loops
            )

    def environment(self, slot: int) -> dict[str, str]:
        """Return the environment of a slot's loop."""
        own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if self.gpus:
            own["CUDA_VISIBLE_DEVICES"] = self.launcher.visible(slot, self.gpus)
        return {**os.environ, **own}

    def _log(self, slot: int) -> Path:
        return self.queue.folder / f"worker-{slot}.log"

    def _sweep(self) -> None:
        for slot, process in [*self._slots.items()]:
            code = process.poll()
            if code is None:
                continue
            del self._slots[slot]
            self._last = self._log(slot)
            if code:
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                self._deaths.append(f"worker {slot} ended with {how}; another one is started")

    def alive(self) -> int:
        """Return how many loops run."""
        self._sweep()
        return len(self._slots)

    def deaths(self) -> list[str]:
        """Return a line for each loop that died since the last call."""
        self._sweep()
        told, self._deaths = self._deaths, []
        return told

    def last_words(self) -> str:
        """Return the last line of the loop that ended last."""
        with suppress(OSError, AttributeError):
            lines = self._last.read_text(errors="replace").split("\n")  # type: ignore[union-attr]
            return next(line for line in reversed(lines) if line.strip())
        return "it said nothing"

    def stop(self) -> None:
        """Ask all loops to write their checkpoints and end; kill those that take too long."""
        end = time.monotonic() + processes.GRACE + AFTER
        for process in self._slots.values():
            with suppress(ProcessLookupError):
                process.terminate()
        with suppress(KeyboardInterrupt):  # a second Ctrl-C ends the wait
            for process in self._slots.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, end - time.monotonic()))
        for process in self._slots.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._slots.clear()
