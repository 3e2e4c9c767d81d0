"""Run cells in worker processes on this machine: one a slot, replaced when it dies."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from transfergrid.cell_config import CellConfig, identified
from transfergrid.errors import BadInputError, check_known
from transfergrid.factory import Config
from transfergrid.ledger import Ledger
from transfergrid.progress import Progress, progress
from transfergrid.record import Status

LOG_TAIL = 200_000  # bytes of a failed cell's output that are kept
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu")
TRAINER_KEYS = ("accelerator", "workers", "threads", "loader_workers", "deterministic", "progress")


@dataclass(frozen=True)
class Settings:
    """How cells are run; nothing here is part of their identity.

    Args:
        machine: arguments of `fitting.Machine`.
        tracking: config of the tracker.
        workers: processes side by side.
        gpus: device numbers, shared out among the workers; empty on a CPU.
        progress: `bar`, `lines` or `auto`.
        study: the study's name.
    """

    machine: Config
    tracking: Config
    workers: int
    gpus: tuple[str, ...]
    progress: str
    study: str | None

    @classmethod
    def read(cls, trainer: Config, tracking: Config, study: str | None) -> Settings:
        """Resolve `auto` values for this machine.

        Raises:
            BadInputError: a key or value makes no sense.
        """
        _check_trainer(trainer)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        gpus = _gpus() if trainer["accelerator"] in ("auto", "gpu", "cuda") else ()
        workers = _count("trainer.workers", trainer["workers"], len(gpus) or cores or 1)
        threads = _count("trainer.threads", trainer["threads"], max(1, (cores or 1) // workers))
        machine = {key: trainer[key] for key in ("accelerator", "loader_workers", "deterministic")}
        return cls(
            {**machine, "threads": threads}, tracking, workers, gpus, trainer["progress"], study
        )


def _check_trainer(trainer: Config) -> None:
    for key in trainer:
        check_known("key of trainer", key, TRAINER_KEYS)
    check_known("trainer.progress", trainer["progress"], ("auto", "bar", "lines"))
    check_known("trainer.accelerator", trainer["accelerator"], ACCELERATORS)
    if trainer["deterministic"] not in (True, False, "warn"):
        raise BadInputError(
            f"trainer.deterministic={trainer['deterministic']}: give true, false or warn"
        )
    readers = trainer["loader_workers"]
    if type(readers) is not int or readers < 0:
        raise BadInputError(f"trainer.loader_workers={readers}: give a whole number from 0")


def _count(name: str, value: Any, auto: int) -> int:
    if value == "auto":
        return auto
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise BadInputError(f"{name}={value}: give a whole number from 1, or auto")


def _gpus() -> tuple[str, ...]:
    """Return the numbers of the NVIDIA GPUs that may be used, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(part for part in visible.split(",") if part not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False)
    return tuple(listed.stdout.split()) if listed.returncode == 0 else ()


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
class Worker:
    """One worker process, its slot and the cell that it is running."""

    slot: int
    process: subprocess.Popen[str]
    log: IO[bytes]
    cell: CellConfig | None = None

    @property
    def answers(self) -> IO[str]:
        """Where the worker writes one line a cell."""
        assert self.process.stdout is not None
        return self.process.stdout

    def give(self, cell: CellConfig, order: Config) -> None:
        """Send a cell."""
        assert self.process.stdin is not None
        self.cell = cell
        self.log.truncate(0)
        self.process.stdin.write(json.dumps({"cell": asdict(cell), **order}) + "\n")
        self.process.stdin.flush()

    def said(self) -> str:
        """Return the end of what it printed during the current cell."""
        text = Path(self.log.name).read_bytes()[-LOG_TAIL:]
        return text.decode(errors="replace")

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.log.close()
        Path(self.log.name).unlink(missing_ok=True)


@dataclass
class Pool:
    """Workers that take cells from a queue, one at a time each."""

    ledger: Ledger
    settings: Settings
    shown: Progress
    outcome: Outcome = field(default_factory=Outcome)
    workers: dict[int, Worker] = field(default_factory=dict)

    def run(self, cells: Sequence[CellConfig]) -> None:
        """Run these cells, and return when each is done or failed."""
        waiting = deque(cells)
        selector = selectors.DefaultSelector()
        for worker in self.workers.values():
            selector.register(worker.answers, selectors.EVENT_READ, worker)
        while waiting or any(worker.cell for worker in self.workers.values()):
            self._hand_out(waiting, selector)
            for key, _ in selector.select():
                self._hear(key.data, selector)
        selector.close()

    def _hand_out(self, waiting: deque[CellConfig], selector: selectors.BaseSelector) -> None:
        for slot in range(self.settings.workers):
            if waiting and slot not in self.workers:
                worker = self.workers[slot] = self._start(slot)
                selector.register(worker.answers, selectors.EVENT_READ, worker)
            if waiting and self.workers[slot].cell is None:
                self.workers[slot].give(waiting.popleft(), self._order())

    def _order(self) -> Config:
        settings = self.settings
        return {
            "results": str(self.ledger.root),
            "machine": settings.machine,
            "tracking": settings.tracking,
        }

    def _start(self, slot: int) -> Worker:
        log = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed in Worker.stop)
            mode="ab", prefix=f"transfergrid-worker-{slot}-", suffix=".log", delete=False
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "transfergrid.worker", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=self._environment(slot),
            start_new_session=True,  # Ctrl-C reaches the grid alone, which then stops its workers
        )
        return Worker(slot, process, log)

    def _environment(self, slot: int) -> dict[str, str]:
        gpus, threads = self.settings.gpus, str(self.settings.machine["threads"])
        extra = {"OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
        if gpus:
            extra["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        return {**os.environ, **extra}

    def _hear(self, worker: Worker, selector: selectors.BaseSelector) -> None:
        line, cell = worker.answers.readline(), worker.cell
        worker.cell = None
        if not line:
            selector.unregister(worker.answers)
            self._bury(worker, cell)
            return
        assert cell is not None
        answer = json.loads(line)
        self._count(cell, answer["reason"], worker.said())

    def _bury(self, worker: Worker, cell: CellConfig | None) -> None:
        code = worker.process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        said = worker.said()
        worker.stop()
        del self.workers[worker.slot]
        if cell is not None:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            self._count(cell, f"its worker process ended with {how}{hint}", said)

    def _count(self, cell: CellConfig, reason: str | None, log: str) -> None:
        if reason is None:
            self.outcome.done += 1
        else:
            self.outcome.failed += 1
            self.ledger.fail(identified(cell, Status.FAILED, reason=reason), log)
        self.shown.ended(cell.label, reason)

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            worker.stop()
        self.workers.clear()


def run_grid(
    cells: Sequence[CellConfig],
    first: set[str],
    ledger: Ledger,
    settings: Settings,
    done: int = 0,
) -> Outcome:
    """Run cells, those that others are compared with first; a failing cell stops no other.

    Args:
        cells: what is left to do.
        first: identities of the baselines.
        ledger: where records go.
        settings: how to run.
        done: how many cells of the grid were done before.
    """
    if not cells:
        return Outcome()
    waves = [[c for c in cells if c.id in first], [c for c in cells if c.id not in first]]
    with progress(settings.progress, total=done + len(cells), done=done) as shown:
        pool = Pool(ledger, settings, shown)
        try:
            for wave in waves:
                pool.run(wave)
        except KeyboardInterrupt:
            pool.outcome.interrupted = True
        finally:
            pool.stop()
    outcome = pool.outcome
    outcome.left = len(cells) - outcome.done - outcome.failed
    return outcome


def run_here(cell: CellConfig, ledger: Ledger, settings: Settings) -> None:
    """Run one cell in this process, so that a debugger works; errors are raised as they are."""
    from transfergrid.worker import run

    run(cell, ledger, settings.machine, settings.tracking)
