"""What a run that takes long leaves from time to time, so that another process goes on from it.

It is one file in `results/running`, replaced whole. A file that is damaged, or of other code or
versions, is not used; two processes that run the same cell write the same states, and whichever
file is there is whole. Who is done removes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transfergrid.records.cell import PROTOCOL
from transfergrid.records.errors import KilledError
from transfergrid.records.files.folders import RUNNING
from transfergrid.records.printing import told_os, warn
from transfergrid.records.process import stopping
from transfergrid.records.provenance import versions
from transfergrid.runs import states
from transfergrid.runs.cost import Spent, Stopwatch, peak_memory
from transfergrid.runs.machine import Machine
from transfergrid.runs.standing import code_of
from transfergrid.runs.states import State

ROOMS = ("records", "data", "sources", "strategies", "runs")
"""Of this program, whose code moves a run's numbers."""
WORTH = 5.0
"""Seconds of work that are put down when the process is asked to go; less is done again."""
MAY_PASS = (OSError, MemoryError, RuntimeError)
"""Errors of a machine, or of torch about it, which may not come again."""


class Checkpoint:
    """What one run leaves, and what an earlier process left of it.

    Args:
        results: the ledger's folder.
        name: of the run, which no other one has.
        parts: objects whose code moves its numbers.
        machine: says how often one is left.
        clock: gets the seconds that earlier processes took.
        started: ISO 8601 time at which this one began.
    """

    def __init__(
        self,
        results: Path,
        name: str,
        parts: Iterable[object],
        machine: Machine,
        clock: Stopwatch,
        started: str | None = None,
    ) -> None:
        self.results, self.name, self.machine, self.clock = results, name, machine, clock
        self.file = results / RUNNING / f"{name}.safetensors"
        self.progress: dict[str, Any] = {}
        """Plain values, and tensors, that are left beside a driver's state."""
        self.state: State | None = None
        """Of the driver that was at work when it was left; None before `Driver.run` takes it."""
        self.before = Spent(started=started)
        self._kinds = {base for part in parts for base in type(part).__mro__}
        self._every = 60 * machine.checkpoint_minutes
        self._at = time.monotonic()
        self._found = self._left = False
        self._find()

    @property
    def attempt(self) -> int:
        """The number of this run of the cell, as far as checkpoints tell, from 1."""
        return self.before.attempt + 1

    # Leaving it ----------------------------------------------------------------------------------

    def is_due(self, step: int) -> bool:
        """Return whether to call `leave` after this step."""
        if stopping.is_asked():
            return True
        return bool(self._every) and time.monotonic() - self._at >= self._every

    def leave(self, state: State | None) -> None:
        """Write down `progress` and a driver's state; end the process if it was asked to go."""
        is_worth = time.monotonic() - self._at >= min(WORTH, self._every)
        if self._every and (is_worth or not stopping.is_asked()):
            self._write(state)
        if stopping.is_asked():
            stopping.leave()

    def _write(self, state: State | None) -> None:
        whole = {
            "about": self._about(),
            "spent": asdict(self.spent()),
            "progress": self.progress,
            "state": state,
        }
        try:
            states.write(whole, self.file, self.results / "tmp")
            self._left = True
        except (OSError, TypeError) as error:  # the run is worth as much without
            told = told_os(error) if isinstance(error, OSError) else str(error)
            warn(f"no checkpoint can be left in {self.file.parent}: {told}")
        self._at = time.monotonic()

    def _about(self) -> dict[str, Any]:
        """Return what a run must be of to go on from one of these."""
        return {
            "cell": f"{self.name} {PROTOCOL}",
            "code": code_of(self._kinds, ROOMS),
            "versions": versions(),
            "device": self.machine.device.type,
        }

    def spent(self) -> Spent:
        """Return what this run took until now, with those before."""
        peaks = (self.before.peak_memory_bytes, peak_memory(self.machine.device))
        return Spent(
            self.clock.so_far(),
            self.clock.total(),
            max((peak for peak in peaks if peak is not None), default=None),
            self.before.continued + self._found,
            self.attempt,
            self.before.started,
        )

    def add(self, spent: Spent) -> None:
        """Count what was done of this run before it began, beside others."""
        peaks = [p for p in (self.before.peak_memory_bytes, spent.peak_memory_bytes) if p]
        self.before = replace(self.before, peak_memory_bytes=max(peaks, default=None))
        self.clock.carry(spent.seconds, spent.total)

    # Going on ------------------------------------------------------------------------------------

    def take(self) -> State | None:
        """Return the state that was left of a driver, once."""
        state, self.state = self.state, None
        return state

    def _find(self) -> None:
        if not self._every:
            return
        try:
            found = states.read(self.file)
            self._check(found["about"])
            self.before, self.progress = Spent(**found["spent"]), found["progress"]
            self.state = found["state"]
        except FileNotFoundError:
            return
        except (states.DamagedError, KeyError, TypeError, AttributeError) as error:
            why = str(error) if isinstance(error, states.DamagedError) else "it is of another kind"
            warn(f"the checkpoint {self.file} is not used, its run begins anew: {why}")
            return
        self._found = True
        self.clock.carry(self.before.seconds, self.before.total)

    def _check(self, about: Mapping[str, Any]) -> None:
        other = [key for key, own in self._about().items() if about.get(key) != own]
        if other:
            raise states.DamagedError(f"changed since then: {', '.join(other)}")

    # The end -------------------------------------------------------------------------------------

    @contextmanager
    def until_done(self) -> Iterator[None]:
        """Remove it where the block came to its end, and where it would fail again."""
        try:
            yield
        except KilledError:
            raise  # it is run once more, as a cell whose own process was killed
        except MAY_PASS:
            if self._found and not self._left:  # it went on, and came no further
                self.remove()
            raise
        except Exception:
            self.remove()
            raise
        self.remove()

    def remove(self) -> None:
        """Remove it; where there is none, nothing happens."""
        with suppress(OSError):
            self.file.unlink()
        with suppress(OSError):
            self.file.parent.rmdir()  # as soon as nothing else is in it
