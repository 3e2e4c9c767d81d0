"""Runs cells in worker processes on this machine: one per slot, replaced when it dies."""

from __future__ import annotations

import json
import os
import select
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from transfergrid.records.cell import Cell, different_parts, pair_of
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.ledgers.claims import Claims
from transfergrid.records.printing import say, told_os
from transfergrid.records.process import interrupts
from transfergrid.records.process.ends import deserted, died_twice, timed_out
from transfergrid.records.process.orphans import scratch_for, within
from transfergrid.records.process.telling import ALONE, GOES_ON, TRAINS_SOURCE, how_far
from transfergrid.records.tracking import agents
from transfergrid.records.tracking.wandb_tracker import REPORTS
from transfergrid.records.trust import allowed
from transfergrid.runs.launching.seeds import Seeds
from transfergrid.runs.launching.settings import Settings
from transfergrid.runs.launching.tally import WARNING, Tally
from transfergrid.runs.launching.worker_process import Worker, new_log

DOING = '{"doing"'
"""Prefix of a worker's line that reports its stage and is not an answer."""
GRACE = 20.0
"""Seconds that a worker which is asked to stop has to write its checkpoint."""
LOOK = 1.0
"""Seconds between checks of silent workers, and of cells that other grids run."""
DEADLY = 3
"""Deaths of processes that held a cell's claim after which the cell counts as failed."""


@dataclass
class Pool(Tally):
    """Workers that take cells from a queue, each one cell at a time."""

    command: ClassVar[tuple[str, ...]] = (
        sys.executable,
        "-P",
        "-m",
        "transfergrid.runs.launching.worker",
        "-",
    )

    settings: Settings
    workers: dict[int, Worker] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes that some cells would keep, by identity, as the first worker measured them."""
    waiting: deque[Cell] = field(default_factory=deque)
    """Cells that no worker has yet."""
    seeds: Seeds = field(default_factory=Seeds)
    stages: dict[int, str] = field(default_factory=dict)
    """The current stage of each worker, by slot."""
    more: Callable[[], Sequence[Cell]] | None = None
    """Returns further cells when none wait; an empty sequence once there are no more."""
    claims: Claims = field(init=False)
    """Claims of these workers' cells: no other grid runs a claimed cell."""
    elsewhere: dict[str, Cell] = field(default_factory=dict)
    """Cells that another grid's workers run, by identity."""
    begun: Counter[str] = field(default_factory=Counter)
    """How often each cell was given to a worker, by identity."""
    patience: float | None = None
    """Seconds to wait, with no cell to run, for cells that others run; None: without limit."""
    _looked: float = 0.0
    _at_work: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.claims = Claims(self.ledger.root)

    def begin(self, cells: int) -> None:
        """Start the workers for this many cells; they import what they need in parallel.

        The first worker imports only what checking parts needs: the grid waits for its answer.
        """
        if not self.workers:
            count = self.settings.processes
            say(f"starting {count} worker{'s' if count > 1 else ''}", flush=True)
        for slot in range(min(self.settings.processes, cells)):
            if slot not in self.workers:
                self.workers[slot] = self._start(slot)
                self.workers[slot].send({"prepare": "cells" if slot else "check"})

    def check(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Let the first worker build the parts of these cells, before anything is written.

        Returns:
            Why some of the cells are impossible, by identity.

        Raises:
            BadInputError: a part cannot be built as it was asked for.
        """
        self.begin(len(cells))
        worker = self.workers[0]
        worker.send({"check": [asdict(cell) for cell in different_parts(cells)]})
        line = self._answer(worker)
        if not line.endswith("\n"):
            said = worker.said()
            self._bury(worker, None)
            raise BadInputError(f"no worker process can be started: {_last_line(said)}")
        answer = json.loads(line)
        if answer["reason"] is not None:
            raise BadInputError(answer["reason"])
        self.sizes = answer.get("bytes", {})
        worker.send({"prepare": "cells"})
        told = answer.get("impossible", {})
        reasons = {pair_of(cell): told[cell.id] for cell in cells if cell.id in told}
        return {c.id: reasons[pair_of(c)] for c in cells if pair_of(c) in reasons}

    def _answer(self, worker: Worker) -> str:
        """Return a worker's next answer; show the stages that it reports before it."""
        while True:
            for line in worker.answers.lines():
                if not line.startswith(DOING):
                    return line
                self.shown.doing(worker.slot, json.loads(line)["doing"])

    def _tell(self, slot: int, cell: Cell, doing: str) -> None:
        """Show what a worker reported: a new stage, or its progress in the current one."""
        if doing == ALONE:
            self.seeds.are_alone(slot, cell, self.waiting)
            return
        if doing.startswith(GOES_ON):
            self.shown.remark(f"{self.stages[slot]}: {doing}")
            return
        self._note(slot, cell, doing)
        is_stage = doing.startswith(TRAINS_SOURCE) or not doing
        if is_stage:
            self.stages[slot] = doing or self._called(cell)
        self.shown.doing(slot, self.stages[slot], "" if is_stage else doing)

    def _note(self, slot: int, cell: Cell, doing: str) -> None:
        """Write the cell's progress into its claim, where `transfergrid status` reads it."""
        worker, far = self.workers.get(slot), how_far(doing)
        if worker is None:
            return
        worker.doing = far.pop("doing", worker.doing if doing else "")
        told: Config = {"label": self._called(cell), "grid": cell.grid, "worker": slot}
        told |= {"since": worker.began, "doing": worker.doing, "to_go": self.pace.to_go()}
        self.claims.note(cell.id, {**told, **far})

    def run(self, cells: Sequence[Cell]) -> None:
        """Run these cells, and return when each is done or failed, here or elsewhere."""
        self.waiting = deque(cells)
        self.seeds = Seeds(self.settings.stacked, self.settings.processes)
        selector = selectors.DefaultSelector()
        for worker in self.workers.values():
            selector.register(worker.answers, selectors.EVENT_READ, worker)
        while self._wait() or self.seeds.are_kept() or self._busy() or self.elsewhere:
            self._hand_out(selector)
            if self._is_tired():
                break
            with interrupts.may_interrupt():
                told = selector.select(LOOK)
            for key, _ in told:
                for line in key.data.answers.lines():
                    self._hear(key.data, line, selector)
            self._look_after(selector)
        selector.close()

    def _wait(self) -> bool:
        """Return whether a cell waits for a worker; ask for `more` cells if none does."""
        if not self.waiting and self.more is not None:
            cells = self.more()
            self.pace.expect(cells)
            self.waiting.extend(cells)
        return bool(self.waiting)

    def _busy(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.cell is not None]

    def _is_tired(self) -> bool:
        """Return whether to stop waiting for cells that others run: `patience` has run out."""
        if self._busy():
            self._at_work = time.monotonic()
        idle = time.monotonic() - self._at_work
        return self.patience is not None and idle > self.patience

    def _hand_out(self, selector: selectors.BaseSelector) -> None:
        for slot in range(self.settings.processes):
            idle = self.workers.get(slot)
            if idle and idle.cell is None and idle.process.poll() is not None:
                selector.unregister(idle.answers)
                self._bury(idle, None)
            if idle and idle.cell is not None:
                continue
            cell, beside = self.seeds.take(slot, self.waiting, self._is_mine)
            if cell is None:
                continue
            if slot not in self.workers:
                worker = self.workers[slot] = self._start(slot)
                selector.register(worker.answers, selectors.EVENT_READ, worker)
            self.begun[cell.id] += 1
            self.workers[slot].give(cell, self._order(cell, beside))
            self._tell(slot, cell, "")

    def _is_mine(self, cell: Cell) -> bool:
        """Return whether this grid may run a cell; one that another grid runs is watched."""
        if self._has_ended(cell):  # since the grid was planned
            return False
        if not self._is_free(cell):
            if not self.elsewhere and self.tried is None:
                self.shown.remark("some cells are being run by another grid: they are not run here")
            self.elsewhere[cell.id] = cell
            return False
        if self._has_ended(cell):  # in the moment before it was claimed
            return False
        if self.tried is not None and (deaths := self.claims.deaths(cell.id)) >= DEADLY:
            self._count(cell, deserted(deaths), "")
            return False
        return True

    def _is_free(self, cell: Cell) -> bool:
        """Claim a cell; return whether no other grid runs it.

        A cell whose claim cannot be written is run all the same: if the disk takes no files the
        cell will fail, and the grid goes on.
        """
        try:
            return self.claims.take(cell.id)
        except OSError as error:
            self._repeat_warnings(f"{WARNING} no cell can be claimed: {told_os(error)}")
            return True

    def _look_after(self, selector: selectors.BaseSelector) -> None:
        """Find workers that died or ran out of time, and cells that ended in other grids."""
        for worker in self._busy():
            if self.settings.cell_timeout and worker.lasted > 60 * self.settings.cell_timeout:
                self._end(worker, selector)
                continue
            # a child process that it left behind may hold the pipe open: so ask the process itself
            if worker.process.poll() is not None and not _says(worker):
                selector.unregister(worker.answers)
                cell, worker.cell = worker.cell, None
                self._bury(worker, cell)
        if not self.elsewhere or time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        for cell in filter(self._has_ended, [*self.elsewhere.values()]):
            del self.elsewhere[cell.id]
        running = self.claims.others(self.elsewhere)
        for identity in self.elsewhere.keys() - running:  # it failed there, or that process died
            self.waiting.append(self.elsewhere.pop(identity))

    def _order(self, cell: Cell, beside: Sequence[Cell] = ()) -> Config:
        settings = self.settings
        together = {"beside": [asdict(c) for c in beside], "stacked": settings.stacked}
        return {
            **(together if beside else {}),
            "results": str(self.ledger.root),
            "machine": settings.machine,
            "tracking": settings.tracking,
            "keep": self.keeper.order(cell) if self.keeper else None,
        }

    def _start(self, slot: int) -> Worker:
        scratch, log = scratch_for(f"worker-{slot}"), new_log()
        process = subprocess.Popen(
            [*self.command, *(word for name in allowed() for word in ("--allow", name))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**self._environment(slot), **within(scratch)},
            start_new_session=True,  # Ctrl-C reaches the grid alone, which then stops its workers
        )
        return Worker(slot, process, log, scratch)

    def _environment(self, slot: int) -> dict[str, str]:
        gpus, threads = self.settings.gpus, str(self.settings.machine["threads"])
        extra = {"OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if gpus or self.settings.machine["accelerator"] == "cpu":
            extra["CUDA_VISIBLE_DEVICES"] = self.settings.visible(slot)
        inherited = {key: told for key, told in os.environ.items() if key not in agents.OWN}
        return {REPORTS: "false", **inherited, **extra}

    def _hear(self, worker: Worker, line: str, selector: selectors.BaseSelector) -> None:
        cell = worker.cell
        if cell is not None and line.startswith(DOING):
            worker.begins()
            self._tell(worker.slot, cell, json.loads(line)["doing"])
            return
        worker.cell = None
        if not line.endswith("\n"):
            selector.unregister(worker.answers)
            self._bury(worker, cell)
            return
        assert cell is not None
        said, answer = worker.said(), json.loads(line)
        self._repeat_warnings(said)
        self._count(cell, answer["reason"], said, answer.get("seconds"))

    def _end(self, worker: Worker, selector: selectors.BaseSelector) -> None:
        """End a worker whose cell takes too long; its log shows where each thread was."""
        selector.unregister(worker.answers)
        cell, worker.cell = worker.cell, None
        worker.tell_where()
        said = worker.said()
        worker.stop()
        del self.workers[worker.slot]
        self.seeds.release(worker.slot, self.waiting)
        assert cell is not None
        self._count(cell, timed_out(self.settings.cell_timeout or 0.0), said)

    def _bury(self, worker: Worker, cell: Cell | None) -> None:
        code = worker.process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        said = worker.said()
        worker.stop()
        del self.workers[worker.slot]
        self.seeds.release(worker.slot, self.waiting)
        if cell is None:
            return
        if self.ledger.is_done(cell.id):  # its record was written before the end
            self._count(cell, None, said)
        elif self.begun[cell.id] == 1:
            self.shown.remark(f"{self._called(cell)}: its worker ended with {how}; once more")
            self.waiting.appendleft(cell)
        else:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            self._count(cell, died_twice(f"{how}{hint}"), said)

    def _count(
        self, cell: Cell, reason: str | None, log: str | None, seconds: float | None = None
    ) -> None:
        super()._count(cell, reason, log, seconds)
        self.claims.release(cell.id)  # only after the result is visible to other grids

    def stop(self) -> None:
        """End all workers; those with a cell get `GRACE` seconds to write a checkpoint."""
        busy = [worker for worker in self.workers.values() if worker.cell is not None]
        end = time.monotonic() + GRACE
        with suppress(KeyboardInterrupt):  # a second Ctrl-C ends the wait
            for worker in busy:
                worker.ask()
            while time.monotonic() < end and not interrupts.is_impatient():
                if all(worker.process.poll() is not None for worker in busy):
                    break
                time.sleep(0.05)
        for worker in self.workers.values():
            worker.stop()
        self.workers.clear()
        self.claims.close()

    def drop(self) -> None:
        """Kill all workers at once, whatever they are doing."""
        for worker in [*self.workers.values()]:
            worker.end()
        self.claims.close()


def _says(worker: Worker) -> bool:
    """Return whether a worker's pipe has something to read."""
    return bool(select.select([worker.answers], [], [], 0)[0])


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it says nothing"
