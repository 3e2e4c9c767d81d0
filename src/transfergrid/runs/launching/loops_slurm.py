"""Worker loops as jobs of Slurm arrays, submitted by submitit.

submitit pickles a job's function into a file in the launch's folder, and the job reads it there.
The function is always `_become`, which replaces the job's process by the loop. The states of jobs
come from `squeue`, because not every cluster has accounting (`sacct`).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from transfergrid.records.errors import BadInputError, as_line
from transfergrid.runs.launching import processes
from transfergrid.runs.launching.joining import command
from transfergrid.runs.launching.launchers import Slurm
from transfergrid.runs.launching.queue import Queue

ENDS = {
    **dict.fromkeys(("FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"), "ended with {}"),
    **dict.fromkeys(("TIMEOUT", "DEADLINE"), "came to the end of its minutes"),
    **dict.fromkeys(("CANCELLED", "PREEMPTED"), "was {}"),
}
"""How a job ended that should not have, by Slurm's name of its state."""
ENDED = {*ENDS, "COMPLETED"}
AFTER = 15.0
"""Seconds that a job has to end, beyond the `GRACE` of its loop's workers."""
TELLS = ("squeue", "--noheader", "--array", "--states=all", "--format=%i %T", "--jobs")


@dataclass
class SlurmLoops:
    """Jobs of one Slurm array or more.

    Args:
        launcher: says which resources each job gets.
        queue: the queue that the loops run.
    """

    launcher: Slurm
    queue: Queue
    _arrays: list[str] = field(default_factory=list)
    _states: dict[str, str] = field(default_factory=dict)
    """The last known state of each job."""
    _mourned: set[str] = field(default_factory=set)

    def start(self, number: int) -> None:
        """Submit an array of so many jobs.

        Raises:
            BadInputError: Slurm rejects it.
        """
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError

        executor = SlurmExecutor(self.queue.folder, python=shlex.quote(sys.executable))
        try:
            executor.update_parameters(**self._parameters())
            words = command(self.queue, self.launcher.cpus_per_worker)
            jobs = executor.map_array(_become, [words] * number)
        except (FailedJobError, ValueError, TypeError, subprocess.CalledProcessError) as error:
            told = as_line(error, 300)
            raise BadInputError(f"hydra/launcher=slurm: the jobs are not taken: {told}") from None
        self._arrays.append(str(jobs[0].job_id).partition("_")[0])

    def _parameters(self) -> dict[str, Any]:
        own = self.launcher
        path = os.pathsep.join(filter(None, sys.path))
        told = {
            "partition": own.partition,
            "mem": own.memory,
            "gpus_per_node": own.gpus_per_worker or None,
            "additional_parameters": {"requeue": True, **own.more},
        }
        return {
            **{key: value for key, value in told.items() if value is not None},
            "job_name": "transfergrid",
            "time": own.minutes,
            "cpus_per_task": own.cpus_per_worker,
            "setup": [*own.setup, f"export PYTHONPATH={shlex.quote(path)}"],
            "stderr_to_stdout": True,
        }

    def alive(self) -> int:
        """Return how many jobs run or wait."""
        self._look()
        return sum(state not in ENDED for state in self._states.values())

    def deaths(self) -> list[str]:
        """Return a line for each job that ended unexpectedly since the last call."""
        self._look()
        new = {j: s for j, s in self._states.items() if s in ENDS and j not in self._mourned}
        self._mourned |= new.keys()
        return [f"job {job} {ENDS[state].format(state.lower())}" for job, state in new.items()]

    def _look(self) -> None:
        told = [_asked([*TELLS, array]) for array in self._arrays]
        for array, lines in zip(self._arrays, told, strict=True):
            if lines is None:
                continue  # Slurm does not answer: keep the known states
            states = dict(line.split() for line in lines)
            known = [job for job in self._states if job.startswith(f"{array}_")]
            self._states |= {job: "COMPLETED" for job in known if self._states[job] not in ENDED}
            self._states |= states

    def last_words(self) -> str:
        """Return the last line of the log that was written last."""
        logs = sorted(self.queue.folder.glob("*.out"), key=lambda log: log.stat().st_mtime)
        for log in reversed(logs):
            lines = log.read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return f"see {self.queue.folder}"

    def stop(self) -> None:
        """Cancel all jobs, and wait while they write their checkpoints and end."""
        if not self.alive():
            return
        subprocess.run(["scancel", *self._arrays], check=False, capture_output=True)
        end = time.monotonic() + processes.GRACE + AFTER
        while self.alive() and time.monotonic() < end:
            time.sleep(0.5)


def _asked(words: Sequence[str]) -> list[str] | None:
    """Return the lines a command prints; empty if Slurm has forgotten the job; None: no answer."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode and "Invalid job id" not in done.stderr:
        return None
    return done.stdout.splitlines() if not done.returncode else []


def _become(words: Sequence[str], environment: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process by another program: so the loop itself gets Slurm's signals."""
    os.execve(words[0], list(words), {**os.environ, **(environment or {})})
