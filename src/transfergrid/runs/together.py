"""The process of rank 0 when several train a cell together: it starts the others and orders them.

The other processes are started once and wait for further cells; they do not plan, test or write
anything. See `peers` for what they exchange, `following` for what the others do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from transfergrid.records.cell import Cell
from transfergrid.records.errors import KilledError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.trust import allowed
from transfergrid.runs.machine import Machine
from transfergrid.runs.peers import Peers

PROGRAM = ("-P", "-m", "transfergrid.runs.following")
PATIENCE = timedelta(days=1)
"""Timeout of a message: the other process may be scoring a large validation part meanwhile."""
LOST = 10.0
"""Seconds after another process's death until rank 0 is ended if it still waits for it."""
DYING = 2.0
"""Seconds to wait, after a failed exchange, for the exit code of a process that may have died."""
BESIDE = ("store", "peers")
"""Fields of a `Machine` that each process makes for itself."""


@contextmanager
def joined(cell: Cell, ledger: Ledger, machine: Machine, shared: bool = True) -> Iterator[Machine]:
    """Yield the machine to train a cell on; the other processes train it too during the block.

    A cell without steps, a tuned cell, and one that is not `shared` are trained on one device.

    Args:
        cell: the cell to train; its source has been trained before.
        ledger: where its source and its checkpoint are found.
        machine: says how many devices train a cell.
        shared: whether several devices may train this cell.
    """
    if machine.devices == 1 or not shared or not _is_shared(cell):
        yield machine
        return
    others = _others(machine.devices)
    with others.at_work(), tempfile.TemporaryDirectory(prefix="transfergrid-peers-") as place:
        own = {f.name: getattr(machine, f.name) for f in fields(machine) if f.name not in BESIDE}
        meet = str(Path(place) / "meet")
        order = {"cell": asdict(cell), "results": str(ledger.root.absolute()), "machine": own}
        others.tell({**order, "meet": meet})
        peers = met(meet, 0, machine)
        try:
            yield replace(machine, peers=peers)
        finally:
            dist.destroy_process_group()


def met(meet: str, rank: int, machine: Machine) -> Peers:
    """Join the process group that meets at a file; return this process's `Peers`."""
    kind = machine.device.type
    backend = "nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(
        backend,
        init_method=f"file://{meet}",
        rank=rank,
        world_size=machine.devices,
        timeout=PATIENCE,
    )
    return Peers(rank, machine.devices, kind)


def _is_shared(cell: Cell) -> bool:
    training = cell.config.get("training") or {}
    return bool(training.get("steps")) and not cell.config.get("tuning")


@dataclass
class Others:
    """The processes of rank 1 and more.

    Args:
        devices: number of all processes, rank 0 included.
    """

    devices: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _works: bool = False

    def begin(self) -> None:
        """Start the processes; their output goes to this process's stderr."""
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        words = [word for name in allowed() for word in ("--allow", name)]
        for rank in range(1, self.devices):
            own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            if len(seen) >= self.devices:
                own["CUDA_VISIBLE_DEVICES"] = seen[rank]
            elif seen != [""] or "CUDA_VISIBLE_DEVICES" not in os.environ:
                own["CUDA_VISIBLE_DEVICES"] = str(rank)
            command = [sys.executable, *PROGRAM, str(rank), *words]
            other = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=2,
                env={**os.environ, **own},
                start_new_session=True,
            )
            self.processes.append(other)
        threading.Thread(target=self._watch, daemon=True, name="peers").start()

    def tell(self, order: dict[str, object]) -> None:
        """Send an order with a cell to all of them."""
        for process in self.processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep the processes while the block trains with them; kill them if the block raises.

        Raises:
            KilledError: the block raised because one of them was killed.
        """
        self._works = True
        try:
            yield
        except Exception as error:
            killed_by = self._killed_by(DYING if isinstance(error, RuntimeError) else 0.0)
            self.end()
            if killed_by is not None:
                raise KilledError(killed_by) from error
            raise
        except BaseException:
            self.end()
            raise
        finally:
            self._works = False

    def _killed_by(self, patience: float) -> int | None:
        """Return the signal that killed one of them, waiting `patience` seconds; None if none."""
        end = time.monotonic() + patience
        while True:
            codes = [process.poll() for process in self.processes]
            if killed := [-code for code in codes if code is not None and code < 0]:
                return killed[0]
            if time.monotonic() > end or None not in codes:
                return None
            time.sleep(0.05)

    def end(self) -> None:
        """Kill them: they wait for messages that will not come."""
        _known.pop(self.devices, None)
        for process in self.processes:
            process.kill()
            process.wait()

    def _watch(self) -> None:
        """End this process too if it keeps waiting on a device for one that has died."""
        since: float | None = None
        while self.devices in _known:
            time.sleep(0.5)
            is_lost = self._works and any(p.poll() is not None for p in self.processes)
            since = (since or time.monotonic()) if is_lost else None
            if since is not None and time.monotonic() - since > LOST:
                os._exit(1)


_known: dict[int, Others] = {}


def _others(devices: int) -> Others:
    known = _known.get(devices)
    if known is not None and all(process.poll() is None for process in known.processes):
        return known
    if known is not None:
        known.end()
    _known[devices] = others = Others(devices)
    others.begin()
    return others
