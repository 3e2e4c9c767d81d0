"""The launchers of `hydra/launcher=...` and their options: plain values, no engine is imported.

All but `local` start worker loops (`joining`), which take cells from a queue in the folder of
results. A launcher only says how such loops are started and watched.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, doc

from transfergrid.records.arguments import Count, Options, check_values, taken_by
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.factory import Config
from transfergrid.records.ledgers.claims import LEASE

STUB = "hydra_plugins.transfergrid.GridLauncher"
GROUP = "hydra.launcher"
Lease = Annotated[float, Ge(2)]
Gpus = Annotated[float, Gt(0)]
Lines = Annotated[Sequence[str], doc("a list of lines")]


@dataclass(frozen=True)
class Launcher:
    """How workers are started.

    Args:
        lease: seconds without a sign of life after which a worker is dead, and its cell is free.
        detach: whether to return once workers are started, not when the grid has ended.
    """

    kind: ClassVar[str]
    is_local: ClassVar[bool] = False
    engine: ClassVar[str | None] = None
    """The package that it needs; the extra of the launcher's name (`kind`) installs it."""

    lease: Lease = LEASE
    detach: bool = False

    def check(self) -> None:
        """Raise `BadInputError` if its engine is missing, or an option is impossible here."""
        if self.engine is not None and find_spec(self.engine) is None:
            raise BadInputError(
                f"hydra/launcher={self.kind} needs {self.engine}: "
                f"pip install 'transfergrid[{self.kind}]'"
            )

    def count(self, cores: int, gpus: Sequence[str]) -> int:
        """Return how many loops are started.

        Args:
            cores: CPU cores of this machine that this process may use.
            gpus: numbers of this machine's GPUs.

        Raises:
            BadInputError: there is no room for as many as were asked for.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Local(Launcher):
    """Worker processes of the grid's own, on this machine: `trainer.workers` of them."""

    kind: ClassVar[str] = "local"
    is_local: ClassVar[bool] = True

    def check(self) -> None:
        """Raise `BadInputError` if it is to detach: its workers end with the grid."""
        if self.detach:
            raise BadInputError(
                "hydra/launcher=local runs cells as long as the command does: --detach is for "
                "workers and slurm"
            )

    def count(self, cores: int, gpus: Sequence[str]) -> int:
        """Return 0: it starts no loops."""
        return 0


@dataclass(frozen=True)
class Workers(Launcher):
    """Loops on this machine, each a process that does not depend on the others.

    Args:
        n: how many loops; auto: as many as fit on the GPUs, without GPUs one per core.
        gpus_per_worker: GPUs that each may use; a part, such as 0.25, puts several on one. It has
            no effect without a GPU, or with `trainer.accelerator=cpu`.
    """

    kind: ClassVar[str] = "workers"

    n: Count | Literal["auto"] = "auto"
    gpus_per_worker: Gpus = 1.0

    def check(self) -> None:
        """Raise `BadInputError` if a worker would have one GPU and a part of another."""
        _check_whole(self.gpus_per_worker)

    def count(self, cores: int, gpus: Sequence[str]) -> int:
        """Return `n`, or for "auto" the number of slots.

        Raises:
            BadInputError: that many would take more GPUs than there are.
        """
        slots = self._slots(gpus) if gpus else cores
        asked = slots if self.n == "auto" else self.n
        if (gpus and asked > slots) or not asked:
            raise BadInputError(
                f"{GROUP}.n={self.n}: {max(asked, 1)} workers of {self.gpus_per_worker:g} GPUs "
                f"take more than the {len(gpus)} that are here"
            )
        return asked

    def _slots(self, gpus: Sequence[str]) -> int:
        if self.gpus_per_worker >= 1:
            return len(gpus) // int(self.gpus_per_worker)
        return len(gpus) * math.floor(1 / self.gpus_per_worker + 1e-9)

    def visible(self, number: int, gpus: Sequence[str]) -> str:
        """Return a loop's CUDA_VISIBLE_DEVICES."""
        if not gpus:
            return ""
        if self.gpus_per_worker < 1:
            return gpus[number % len(gpus)]
        each = int(self.gpus_per_worker)
        return ",".join(gpus[number * each : (number + 1) * each])


@dataclass(frozen=True)
class Slurm(Launcher):
    """Loops as jobs of one Slurm array, submitted by submitit.

    Args:
        n: number of jobs.
        cpus_per_worker: cores of each job.
        gpus_per_worker: GPUs of each job; `trainer.workers` cells share them at a time.
        partition: partition of the cluster; None: its default.
        minutes: time limit of a job; its cell goes on in another job from its last checkpoint.
        memory: memory of a job, such as 16GB; None: the cluster's default.
        setup: shell lines to run first, such as `module load cuda`.
        more: other parameters of sbatch, as in {account: mine, constraint: a100}.
    """

    kind: ClassVar[str] = "slurm"
    engine: ClassVar[str | None] = "submitit"

    n: Count = 4
    cpus_per_worker: Count = 1
    gpus_per_worker: Annotated[int, Ge(0)] = 0
    partition: str | None = None
    minutes: Count = 240
    memory: str | None = None
    setup: Lines = field(default_factory=list)
    more: Options = field(default_factory=dict)

    def check(self) -> None:
        """Raise `BadInputError` if submitit or Slurm is missing."""
        super().check()
        if shutil.which("sbatch") is None:
            raise BadInputError(
                "hydra/launcher=slurm: there is no sbatch here; type this where jobs are submitted"
            )

    def count(self, cores: int, gpus: Sequence[str]) -> int:
        """Return the number of jobs."""
        return self.n


@dataclass(frozen=True)
class Ray(Launcher):
    """Loops as tasks of a Ray cluster.

    Args:
        address: host:port of the cluster; auto: the one that runs here; local: a new one on this
            machine, which ends with the grid.
        n: number of tasks.
        cpus_per_worker: cores of each task.
        gpus_per_worker: GPUs of each task; a part, such as 0.25, puts several on one.
    """

    kind: ClassVar[str] = "ray"
    engine: ClassVar[str | None] = "ray"

    address: str = "local"
    n: Count = 4
    cpus_per_worker: Count = 1
    gpus_per_worker: Annotated[float, Ge(0)] = 0.0

    def check(self) -> None:
        """Raise `BadInputError` if Ray is missing, or if it is to detach."""
        super().check()
        _check_whole(self.gpus_per_worker)
        if self.detach:
            raise BadInputError(
                "hydra/launcher=ray: Ray ends tasks with the process that began them, so it "
                "cannot be left: --detach is for workers and slurm"
            )

    def count(self, cores: int, gpus: Sequence[str]) -> int:
        """Return the number of tasks."""
        return self.n


KINDS: Mapping[str, type[Launcher]] = {cls.kind: cls for cls in (Local, Workers, Slurm, Ray)}


def read(told: Config, name: str | None = None) -> Launcher:
    """Return the launcher that a config describes, after checking that it works here.

    Args:
        told: the config under `hydra.launcher`.
        name: the name by which it was chosen.

    Raises:
        BadInputError: it is not one of ours, takes no such key or value, or does not work here.
    """
    if told.get("_target_") != STUB:
        raise BadInputError(
            f"hydra/launcher={name or told.get('_target_')} starts Hydra's jobs, and a grid has "
            f"none: its workers take cells by themselves; give {', '.join(KINDS)}"
        )
    cls: Any = KINDS[told["kind"]]
    options = {key: value for key, value in told.items() if key not in ("_target_", "kind")}
    known = taken_by(cls)
    for key in options:
        check_known(f"key of {GROUP}", key, known)
    check_values(cls.__name__, GROUP, known, options)
    launcher: Launcher = cls(**options)
    launcher.check()
    return launcher


def _check_whole(gpus: float) -> None:
    if gpus > 1 and gpus != int(gpus):
        raise BadInputError(
            f"{GROUP}.gpus_per_worker={gpus:g}: give a part of one GPU, or a whole number of them"
        )
