"""Checkpoints: a long run saves its state from time to time, so that another process can resume it.

A checkpoint is one file in `results/running`, replaced atomically. A file that is damaged, or from
other code or package versions, is not used. Two processes that run the same cell write the same
states, so it does not matter whose file is there. A run that is done removes it.
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
from transfergrid.runs.made_by import code_of
from transfergrid.runs.states import State

ROOMS = ("records", "data", "sources", "strategies", "runs")
"""Rooms of this program whose code affects a run's numbers."""
WORTH = 5.0
"""Least seconds of work that are saved when the process is asked to end; less is redone."""
MAY_PASS = (OSError, MemoryError, RuntimeError)
"""Errors of the machine, or of torch about it, which may not occur again."""


class Checkpoint:
    """The checkpoint of one run: loads what an earlier process saved, and saves new states.

    Args:
        results: the ledger's folder.
        name: the run's unique name.
        parts: objects whose code affects the run's numbers.
        machine: says how often a checkpoint is saved.
        clock: gets the seconds that earlier processes took.
        started: ISO 8601 time at which this process began the run.
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
        """Plain values and tensors that are saved beside the driver's state."""
        self.state: State | None = None
        """The saved driver's state, until `take` hands it to the driver; None if there is none."""
        self.before = Spent(started=started)
        self._kinds = {base for part in parts for base in type(part).__mro__}
        self._every = 60 * machine.checkpoint_minutes
        self._at = time.monotonic()
        self._found = self._left = False
        self._find()

    @property
    def attempt(self) -> int:
        """The number of this attempt at the run, from 1, as far as checkpoints know."""
        return self.before.attempt + 1

    # Saving it -----------------------------------------------------------------------------------

    def is_due(self, step: int) -> bool:
        """Return whether to call `leave` after this step."""
        if stopping.is_asked():
            return True
        return bool(self._every) and time.monotonic() - self._at >= self._every

    def leave(self, state: State | None) -> None:
        """Save `progress` and a driver's state; end the process if it was asked to end."""
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
        except (OSError, TypeError) as error:  # the run goes on without a checkpoint
            told = told_os(error) if isinstance(error, OSError) else str(error)
            warn(f"no checkpoint can be left in {self.file.parent}: {told}")
        self._at = time.monotonic()

    def _about(self) -> dict[str, Any]:
        """Return what must be equal for a run to resume from a checkpoint."""
        return {
            "cell": f"{self.name} {PROTOCOL}",
            "code": code_of(self._kinds, ROOMS),
            "versions": versions(),
            "device": self.machine.device.type,
        }

    def spent(self) -> Spent:
        """Return what this attempt took so far, together with the earlier ones."""
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
        """Add what was spent on this run before it began, when its seeds were trained together."""
        peaks = [p for p in (self.before.peak_memory_bytes, spent.peak_memory_bytes) if p]
        self.before = replace(self.before, peak_memory_bytes=max(peaks, default=None))
        self.clock.carry(spent.seconds, spent.total)

    # Resuming ------------------------------------------------------------------------------------

    def take(self) -> State | None:
        """Return the saved state of a driver, if any; only the first call returns it."""
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
        """Remove the checkpoint if the block ends, or fails in a way that would repeat.

        It stays if the error may pass, unless this attempt had resumed and saved nothing since.
        """
        try:
            yield
        except KilledError:
            raise  # the cell is run once more, as if its own process had been killed
        except MAY_PASS:
            if self._found and not self._left:  # it resumed, and made no progress
                self.remove()
            raise
        except Exception:
            self.remove()
            raise
        self.remove()

    def remove(self) -> None:
        """Remove the checkpoint, if there is one."""
        with suppress(OSError):
            self.file.unlink()
        with suppress(OSError):
            self.file.parent.rmdir()  # only works if it is empty
