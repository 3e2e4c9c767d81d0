"""How cells are run on this machine; nothing here is part of a cell's identity."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Literal

from transfergrid.records.arguments import Count, NotNegative, Positive, Whole, check_values
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.factory import Config
from transfergrid.runs.launching.launchers import Launcher, Local
from transfergrid.runs.launching.seeds import Stacked

KEEPS = ("none", "best", "all")
"""Whose weights are kept; see `records.keeping`."""
TRAINER = {
    "accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu"],
    "devices": Count | Literal["auto"],
    "workers": Count | Literal["auto"],
    "threads": Count | Literal["auto"],
    "loader_workers": Whole,
    "deterministic": bool | Literal["warn"],
    "cache": NotNegative,
    "diagnostics": Literal["none", "short", "full"],
    "checkpoint_minutes": NotNegative,
    "cell_timeout": Positive | None,
    "stacked": bool | Literal["auto"],
    "progress": Literal["auto", "bar", "lines"],
}
"""The keys of `trainer` and the values that they take."""
MACHINE = (
    *("accelerator", "loader_workers", "deterministic"),
    *("cache", "diagnostics", "checkpoint_minutes"),
)
"""Keys of `trainer` that are passed to a cell's `Machine` unchanged."""


@dataclass(frozen=True)
class Settings:
    """How cells are run; nothing here is part of a cell's identity.

    Args:
        machine: arguments of `runs.machine.Machine`.
        tracking: config of the tracker.
        workers: how many workers run cells side by side, here or where the launcher starts them.
        gpus: device numbers, distributed over the workers; empty on a CPU.
        progress: `bar`, `lines` or `auto`.
        study: the study's name.
        keep: whose weights are kept: `none`, `best` or `all`.
        stacked: whether seeds of a cell are trained side by side; "auto": where it pays.
        cell_timeout: minutes after which a cell is killed and counts as failed; None: never.
        launcher: how workers are started.
        trainer: the `trainer` config as typed, for other machines.
    """

    machine: Config
    tracking: Config
    workers: int
    gpus: tuple[str, ...]
    progress: str
    study: str | None
    keep: str = "none"
    stacked: Stacked = False
    cell_timeout: float | None = None
    launcher: Launcher = field(default_factory=Local)
    trainer: Config = field(default_factory=dict)

    @property
    def devices(self) -> int:
        """How many devices train one cell together."""
        return int(self.machine.get("devices", 1))

    def visible(self, slot: int) -> str:
        """Return a worker's CUDA_VISIBLE_DEVICES: its GPUs, empty on a CPU."""
        if not self.gpus:
            return ""
        places = (slot * self.devices + number for number in range(self.devices))
        return ",".join(self.gpus[place % len(self.gpus)] for place in places)

    @property
    def processes(self) -> int:
        """How many worker processes the grid itself starts; with a launcher one, to check parts."""
        return self.workers if self.launcher.is_local else 1

    @classmethod
    def read(
        cls,
        trainer: Config,
        tracking: Config,
        study: str | None,
        keep: str = "none",
        launcher: Launcher | None = None,
    ) -> Settings:
        """Resolve `auto` values for this machine.

        Raises:
            BadInputError: a key or value makes no sense.
        """
        for key in trainer:
            check_known("key of trainer", key, TRAINER)
        check_values("trainer", "trainer", TRAINER, trainer)
        if keep not in KEEPS:
            raise BadInputError(f"keep={keep}: give {', '.join(KEEPS[:-1])} or {KEEPS[-1]}")
        cores = cores_here()
        gpus = _gpus() if trainer["accelerator"] in ("auto", "gpu", "cuda") else ()
        asked = {key: None if trainer[key] == "auto" else trainer[key] for key in trainer}
        launcher, devices = launcher or Local(), _devices(trainer, gpus)
        workers = asked["workers"] or len(gpus) // devices or max(1, cores // devices)
        if not launcher.is_local:
            workers = (asked["workers"] or 1) * launcher.count(cores, gpus)
        threads = asked["threads"] or max(1, cores // (workers * devices))
        machine = {key: trainer[key] for key in MACHINE if key in trainer}
        return cls(
            {**machine, "threads": threads, **({"devices": devices} if devices > 1 else {})},
            tracking,
            workers,
            gpus,
            trainer["progress"],
            study,
            keep,
            trainer.get("stacked", False),
            trainer.get("cell_timeout"),
            launcher,
            dict(trainer),
        )


def _devices(trainer: Config, gpus: tuple[str, ...]) -> int:
    """Return how many devices train a cell together.

    Raises:
        BadInputError: there are fewer devices, or `trainer.stacked` is asked for too.
    """
    told = trainer.get("devices", 1)
    devices = int(len(gpus) if told == "auto" else told)
    if devices < 1 or (gpus and devices > len(gpus)):
        where = f"here are {len(gpus)} GPUs"
        hint = "" if gpus else ": give a number to share a cell among processes on the CPU"
        raise BadInputError(f"trainer.devices={told}: {where}{hint}")
    if devices > 1 and trainer.get("stacked"):
        raise BadInputError(
            f"trainer.devices={told} trains one cell on several devices, and trainer.stacked "
            "several cells on one: give one of them"
        )
    return devices


def cores_here() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> tuple[str, ...]:
    """Return the numbers of the NVIDIA GPUs that this process may use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(part for part in visible.split(",") if part not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False)
    return tuple(listed.stdout.split()) if listed.returncode == 0 else ()
