"""Run cells in worker processes on this machine: one a slot, replaced when it dies."""

from __future__ import annotations

import json
import os
import select
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from transfergrid.records.cell import Cell, different_parts, pair_of
from transfergrid.records.claims import Claims
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.keeping import Keeper
from transfergrid.records.ledger import Ledger
from transfergrid.records.printing import say, told_os
from transfergrid.records.provenance import identified
from transfergrid.records.record import Record, Status
from transfergrid.records.telling import ALONE, GOES_ON, TRAINS_SOURCE
from transfergrid.records.trust import allowed
from transfergrid.runs.launching.pace import Pace, kind_of
from transfergrid.runs.launching.progress import Progress, Silent, progress
from transfergrid.runs.launching.seeds import Seeds
from transfergrid.runs.launching.settings import Settings
from transfergrid.runs.launching.worker_process import Worker
from transfergrid.runs.planning.plan import left_of

WARNING = "transfergrid: warning:"
DOING = '{"doing"'
"""What a line of a worker begins with that is no answer."""
GRACE = 20.0
"""Seconds in which a worker that is stopped may put down what it has."""
LOOK = 1.0
"""Seconds after which workers are looked at though they say nothing, and other grids' cells too."""


@dataclass
class Outcome:
    """What became of a grid's cells."""

    done: int = 0
    failed: int = 0
    left: int = 0
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """1 if a cell failed."""
        return 1 if self.failed else 0


@dataclass
class Pool:
    """Workers that take cells from a queue, one at a time each."""

    command: ClassVar[tuple[str, ...]] = (
        sys.executable,
        "-P",
        "-m",
        "transfergrid.runs.launching.worker",
        "-",
    )

    ledger: Ledger
    settings: Settings
    shown: Progress = field(default_factory=Silent)
    outcome: Outcome = field(default_factory=Outcome)
    workers: dict[int, Worker] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    keeper: Keeper | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes that some cells would keep, by identity, as the first worker measured them."""
    waiting: deque[Cell] = field(default_factory=deque)
    """Cells that no worker has yet."""
    seeds: Seeds = field(default_factory=Seeds)
    stages: dict[int, str] = field(default_factory=dict)
    """What each worker is doing."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What cells are called, by identity."""
    pace: Pace = field(default_factory=lambda: Pace((), 1))
    ended: Callable[[Cell, float | None], None] | None = None
    """Is told of each cell that is done or failed, and of how many seconds are foreseen."""
    claims: Claims = field(init=False)
    """The cells that these workers run, and no other grid's."""
    elsewhere: dict[str, Cell] = field(default_factory=dict)
    """Cells that another grid's workers run, by identity."""
    begun: Counter[str] = field(default_factory=Counter)
    """How often each cell was given to a worker, by identity."""
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self.claims = Claims(self.ledger.root)

    def begin(self, cells: int) -> None:
        """Start as many workers as so many cells take, and let them import side by side.

        The first imports only what it checks parts with, for an answer is waited for.
        """
        if not self.workers:
            count = self.settings.workers
            say(f"starting {count} worker{'s' if count > 1 else ''}", flush=True)
        for slot in range(min(self.settings.workers, cells)):
            if slot not in self.workers:
                self.workers[slot] = self._start(slot)
                self.workers[slot].send({"prepare": "cells" if slot else "check"})

    def check(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Let the first worker build what these cells are made of, before anything is kept.

        Returns:
            Why some of them cannot be, by identity.

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
        """Return a worker's next answer, and show what it says of its doings until then."""
        while True:
            for line in worker.answers.lines():
                if not line.startswith(DOING):
                    return line
                self.shown.doing(worker.slot, json.loads(line)["doing"])

    def _called(self, cell: Cell) -> str:
        return self.labels.get(cell.id, cell.label)

    def _tell(self, slot: int, cell: Cell, doing: str) -> None:
        """Show what a worker said: another thing that it does, or how far it is with it."""
        if doing == ALONE:
            self.seeds.are_alone(slot, cell, self.waiting)
            return
        if doing.startswith(GOES_ON):
            self.shown.remark(f"{self.stages[slot]}: {doing}")
            return
        is_stage = doing.startswith(TRAINS_SOURCE) or not doing
        if is_stage:
            self.stages[slot] = doing or self._called(cell)
        self.shown.doing(slot, self.stages[slot], "" if is_stage else doing)

    def run(self, cells: Sequence[Cell]) -> None:
        """Run these cells, and return when each is done or failed, here or elsewhere."""
        waiting = self.waiting = deque(cells)
        self.seeds = Seeds(self.settings.stacked, self.settings.workers)
        selector = selectors.DefaultSelector()
        for worker in self.workers.values():
            selector.register(worker.answers, selectors.EVENT_READ, worker)
        while waiting or self.seeds.are_kept() or self._busy() or self.elsewhere:
            self._hand_out(selector)
            for key, _ in selector.select(LOOK):
                for line in key.data.answers.lines():
                    self._hear(key.data, line, selector)
            self._look_after(selector)
        selector.close()

    def _busy(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.cell is not None]

    def _hand_out(self, selector: selectors.BaseSelector) -> None:
        for slot in range(self.settings.workers):
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
        """Return whether this grid is the one to run a cell; else it is kept an eye on."""
        if not self._is_free(cell):
            if not self.elsewhere:
                self.shown.remark("some cells are being run by another grid: they are not run here")
            self.elsewhere[cell.id] = cell
            return False
        if self.ledger.is_done(cell.id):  # since the grid was planned
            self._count(cell, None, "")
            return False
        return True

    def _is_free(self, cell: Cell) -> bool:
        """Return whether no other grid runs a cell; one that cannot be claimed is run all the same.

        On a disk that takes nothing it will fail, and others go on.
        """
        try:
            return self.claims.take(cell.id)
        except OSError as error:
            self._repeat_warnings(f"{WARNING} no cell can be claimed: {told_os(error)}")
            return True

    def _look_after(self, selector: selectors.BaseSelector) -> None:
        """See which workers are gone without their pipes telling, and what became elsewhere."""
        for worker in self._busy():
            if self.settings.cell_timeout and worker.lasted > 60 * self.settings.cell_timeout:
                self._end(worker, selector)
                continue
            # a child that it leaves behind holds the pipe open: its own end is what counts
            if worker.process.poll() is not None and not _says(worker):
                selector.unregister(worker.answers)
                cell, worker.cell = worker.cell, None
                self._bury(worker, cell)
        if not self.elsewhere or time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        for identity in filter(self.ledger.is_done, [*self.elsewhere]):
            self._count(self.elsewhere.pop(identity), None, "")
        running = self.claims.others(self.elsewhere)
        for identity in self.elsewhere.keys() - running:  # whoever ran it failed, or is no more
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
        handle, name = tempfile.mkstemp(prefix=f"transfergrid-worker-{slot}-", suffix=".log")
        os.close(handle)
        log = Path(name).open("ab")  # noqa: SIM115 (closed in Worker.stop; cut before each cell)
        process = subprocess.Popen(
            [*self.command, *(word for name in allowed() for word in ("--allow", name))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=self._environment(slot),
            start_new_session=True,  # Ctrl-C reaches the grid alone, which then stops its workers
        )
        return Worker(slot, process, log)

    def _environment(self, slot: int) -> dict[str, str]:
        gpus, threads = self.settings.gpus, str(self.settings.machine["threads"])
        extra = {"OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if gpus or self.settings.machine["accelerator"] == "cpu":
            extra["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)] if gpus else ""
        return {**os.environ, **extra}

    def _hear(self, worker: Worker, line: str, selector: selectors.BaseSelector) -> None:
        cell = worker.cell
        if cell is not None and line.startswith(DOING):
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
        """End a worker whose cell takes too long; its log says where it was."""
        selector.unregister(worker.answers)
        cell, worker.cell = worker.cell, None
        worker.tell_where()
        said = worker.said()
        worker.stop()
        del self.workers[worker.slot]
        self.seeds.release(worker.slot, self.waiting)
        assert cell is not None
        minutes = f"{self.settings.cell_timeout:g}"
        self._count(cell, f"it took longer than trainer.cell_timeout={minutes} minutes", said)

    def _repeat_warnings(self, said: str) -> None:
        """Show what a worker warned of, once."""
        for line in said.splitlines():
            if line.startswith(WARNING) and line not in self.warned:
                self.warned.add(line)
                self.shown.remark(line)

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
            told = f"its worker process ended with {how}{hint}, twice"
            self._count(cell, told, said)

    def _count(
        self, cell: Cell, reason: str | None, log: str, seconds: float | None = None
    ) -> None:
        if reason is None:
            self.outcome.done += 1
            if self.keeper:
                self.keeper.ended(cell.id)
        else:
            self.outcome.failed += 1
            self._keep_failure(identified(cell, Status.FAILED, reason=reason), log)
        self.claims.release(cell.id)
        self.pace.ended(kind_of(cell), seconds)
        to_go = self.pace.to_go()
        self.shown.ended(self._called(cell), reason, to_go)
        if self.ended is not None:
            self.ended(cell, to_go)

    def _keep_failure(self, record: Record, log: str) -> None:
        """Keep a failed attempt; on a disk that takes nothing the cells go on all the same."""
        try:
            self.ledger.fail(record, log)
        except OSError as error:
            line = f"{WARNING} logs of failed cells cannot be kept: {told_os(error)}"
            self._repeat_warnings(line)

    def stop(self) -> None:
        """End all workers, those with a cell once they have left what they have of it."""
        busy = [worker for worker in self.workers.values() if worker.cell is not None]
        end = time.monotonic() + GRACE
        with suppress(KeyboardInterrupt):  # again: it is not waited for
            for worker in busy:
                worker.ask()
            for worker in busy:
                with suppress(subprocess.TimeoutExpired):
                    worker.process.wait(max(0.0, end - time.monotonic()))
        for worker in self.workers.values():
            worker.stop()
        self.workers.clear()
        self.claims.close()


def _says(worker: Worker) -> bool:
    """Return whether there is something to read of a worker."""
    return bool(select.select([worker.answers], [], [], 0)[0])


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it says nothing"


@dataclass(frozen=True)
class Checked:
    """What building the parts of a grid's cells has shown.

    Attributes:
        sizes: bytes that some cells would keep, by identity.
        impossible: why some cells cannot be, by identity; they are not run.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    impossible: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def begun(ledger: Ledger, settings: Settings, cells: int) -> Iterator[Pool]:
    """Yield the workers of a grid, who end with it.

    Where nothing was ever done they begin now and not when the grid is planned: what they import
    takes longer than the plan.

    Args:
        ledger: where records will go.
        settings: how to run.
        cells: how many there will be at least, if none turns out to be impossible.
    """
    pool = Pool(ledger, settings)
    try:
        if cells and not ledger.exists():
            _stop_on_sigterm()
            pool.begin(cells)
        yield pool
    finally:
        pool.stop()


def run_grid(
    cells: Sequence[Cell],
    pool: Pool,
    done: int = 0,
    checked: Callable[[Checked], None] = lambda found: None,
    keeper: Keeper | None = None,
    labels: Mapping[str, str] | None = None,
    ended: Callable[[Cell, float | None], None] | None = None,
) -> Outcome:
    """Run cells in their order, several at once; a failing cell stops no other.

    Args:
        cells: what is left to do.
        pool: the workers.
        done: how many cells of the grid were done before.
        checked: called once all parts were built, and before any cell is run.
        keeper: decides whose weights are kept; None keeps none.
        labels: what progress calls cells, by identity, where that is not their label.
        ended: is told of each cell that is done or failed, and of how many seconds are foreseen.

    Raises:
        BadInputError: a part cannot be built as it was asked for; nothing was run.
    """
    if not cells:
        checked(Checked())
        return Outcome()
    settings = pool.settings
    pool.keeper, pool.labels, pool.ended = keeper, labels or {}, ended
    pool.pace = Pace(cells, settings.workers)
    try:
        _stop_on_sigterm()
        impossible = pool.check(cells)
        checked(Checked(pool.sizes, impossible))
        cells = left_of(cells, impossible)
        with progress(settings.progress, total=done + len(cells), done=done) as pool.shown:
            pool.run(cells)
    except KeyboardInterrupt:
        pool.outcome.interrupted = True
    finally:
        pool.stop()
    outcome = pool.outcome
    outcome.left = len(cells) - outcome.done - outcome.failed
    return outcome


def _stop_on_sigterm() -> None:
    """End as by Ctrl-C when a cluster asks a job to go, or its terminal is closed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            signal.signal(signal.SIGHUP, interrupt)


def run_here(cell: Cell, ledger: Ledger, settings: Settings, keeper: Keeper | None = None) -> None:
    """Run one cell in this process, so that a debugger works; errors are raised as they are."""
    from transfergrid.runs.launching.worker import run

    run(cell, ledger, settings.machine, settings.tracking, keeper.order(cell) if keeper else None)
    if keeper:
        keeper.ended(cell.id)
