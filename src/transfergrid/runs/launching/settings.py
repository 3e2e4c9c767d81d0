"""How cells are run on this machine: nothing here is part of their identity."""

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
"""What the keys of trainer take."""
MACHINE = (
    *("accelerator", "loader_workers", "deterministic"),
    *("cache", "diagnostics", "checkpoint_minutes"),
)
"""Those that a cell's machine takes as they are."""


@dataclass(frozen=True)
class Settings:
    """How cells are run; nothing here is part of their identity.

    Args:
        machine: arguments of `fitting.Machine`.
        tracking: config of the tracker.
        workers: that run cells side by side, here or wherever the launcher starts them.
        gpus: device numbers, shared out among the workers; empty on a CPU.
        progress: `bar`, `lines` or `auto`.
        study: the study's name.
        keep: whose weights are kept: `none`, `best` or `all`.
        stacked: whether seeds of a cell are trained side by side; "auto": where it pays.
        cell_timeout: minutes after which a cell is ended and has failed; None: never.
        launcher: how workers are started.
        trainer: all of this as it was typed, for another machine.
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
    def processes(self) -> int:
        """Worker processes that the grid starts by itself; one that checks where it runs none."""
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
        launcher = launcher or Local()
        workers = asked["workers"] or len(gpus) or cores
        if not launcher.is_local:
            workers = (asked["workers"] or 1) * launcher.count(cores, gpus)
        threads = asked["threads"] or max(1, cores // workers)
        machine = {key: trainer[key] for key in MACHINE if key in trainer}
        return cls(
            {**machine, "threads": threads},
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


def cores_here() -> int:
    """Return how many cores of this machine this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
