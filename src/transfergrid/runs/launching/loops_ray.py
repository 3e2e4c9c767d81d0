"""Worker loops as tasks of a Ray cluster: each task starts a loop and waits for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError, as_line
from transfergrid.runs.launching import processes
from transfergrid.runs.launching.joining import command
from transfergrid.runs.launching.launchers import Ray
from transfergrid.runs.launching.queue import Queue

AFTER = 5.0
"""Seconds that a loop has to end, beyond the `GRACE` of its own workers."""


@dataclass
class RayLoops:
    """Tasks that a Ray cluster places where enough cores and GPUs are free.

    Args:
        launcher: says which cluster to use, and which resources each task gets.
        queue: the queue that the loops run.
    """

    launcher: Ray
    queue: Queue
    _tasks: dict[Any, Path] = field(default_factory=dict)
    """The log of each task's loop."""
    _deaths: list[str] = field(default_factory=list)
    _number: int = 0
    _last: Path | None = None

    def start(self, number: int) -> None:
        """Submit this many tasks.

        Raises:
            BadInputError: the cluster cannot be reached.
        """
        ray = self._connected()
        own = self.launcher
        needs = {"num_cpus": own.cpus_per_worker, "num_gpus": own.gpus_per_worker}
        task = ray.remote(max_retries=0, **needs)(_task())
        words = command(self.queue, own.cpus_per_worker, "--with-parent")
        path = os.pathsep.join(filter(None, sys.path))
        for _ in range(number):
            log = self.queue.folder / f"worker-{self._number}.log"
            self._number += 1
            grace = processes.GRACE + AFTER
            self._tasks[task.remote(words, str(Path.cwd()), path, str(log), grace)] = log

    def _connected(self) -> Any:
        import ray

        if ray.is_initialized():
            return ray
        if self.launcher.address == "local":
            os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # one machine, one user
        try:
            ray.init(
                address=self.launcher.address,
                include_dashboard=False if self.launcher.address == "local" else None,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            told = as_line(error, 200)
            raise BadInputError(f"hydra.launcher.address={self.launcher.address}: {told}") from None
        return ray

    def _sweep(self) -> None:
        import ray

        ready, _ = ray.wait([*self._tasks], num_returns=len(self._tasks), timeout=0)
        for task in ready:
            self._last = log = self._tasks.pop(task)
            try:
                code = ray.get(task)
            except ray.exceptions.RayError as error:
                self._deaths.append(f"{log.stem} is lost: {type(error).__name__}")
                continue
            if code:
                self._deaths.append(f"{log.stem} ended with exit code {code}")

    def alive(self) -> int:
        """Return how many tasks run, or wait for a place."""
        if self._tasks:
            self._sweep()
        return len(self._tasks)

    def deaths(self) -> list[str]:
        """Return a line for each loop that died since the last call."""
        self.alive()
        told, self._deaths = self._deaths, []
        return told

    def last_words(self) -> str:
        """Return the last line of the loop that ended last."""
        with suppress(OSError, AttributeError, IndexError):
            return self._last.read_text(errors="replace").strip().splitlines()[-1]  # type: ignore[union-attr]
        return f"see {self.queue.folder}"

    def stop(self) -> None:
        """Ask all loops to write their checkpoints, wait for their end, and leave the cluster."""
        import ray

        if not ray.is_initialized():
            return
        for task in self._tasks:
            ray.cancel(task)
        end = time.monotonic() + processes.GRACE + AFTER
        while self.alive() and time.monotonic() < end:
            time.sleep(0.2)
        ray.shutdown()


def _task() -> Any:
    """Return a task's function; nested here, so that Ray pickles it by value, not by import."""

    def run(words: Sequence[str], folder: str, path: str, log: str, grace: float) -> int:
        import os
        import subprocess

        with open(log, "ab") as said:  # noqa: PTH123
            loop = subprocess.Popen(
                words,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            return loop.wait()
        except BaseException:  # Ray cancels a task by raising in it
            loop.terminate()
            return loop.wait(grace)

    return run
