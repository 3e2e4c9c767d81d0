"""How cells are run on this machine: nothing here is part of their identity."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Literal

from transfergrid.records.arguments import Count, NotNegative, Positive, Whole, check_values
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.factory import Config
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
        workers: processes side by side.
        gpus: device numbers, shared out among the workers; empty on a CPU.
        progress: `bar`, `lines` or `auto`.
        study: the study's name.
        keep: whose weights are kept: `none`, `best` or `all`.
        stacked: whether seeds of a cell are trained side by side; "auto": where it pays.
        cell_timeout: minutes after which a cell is ended and has failed; None: never.
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

    @classmethod
    def read(
        cls, trainer: Config, tracking: Config, study: str | None, keep: str = "none"
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
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        gpus = _gpus() if trainer["accelerator"] in ("auto", "gpu", "cuda") else ()
        asked = {key: None if trainer[key] == "auto" else trainer[key] for key in trainer}
        workers = asked["workers"] or len(gpus) or cores or 1
        threads = asked["threads"] or max(1, (cores or 1) // workers)
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
        )


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
