"""Where a cell runs: device, threads, loader processes. None of it is part of its identity."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.utilities import move_data_to_device
from torch.utils.data import DataLoader, Dataset

from transfergrid.data.batches import ViewBatches
from transfergrid.data.views import View
from transfergrid.records.ledgers.cached import FOLDER, Store
from transfergrid.records.training import Precision, Training
from transfergrid.runs.memory import keep_what_is_freed
from transfergrid.runs.peers import ALONE, Peers
from transfergrid.runs.plugins import found_once
from transfergrid.sources.backbone import evaluating
from transfergrid.strategies.base import Strategy

EVALUATION_BATCH = 32
"""Examples at once where nothing learns: on a CPU more leave the caches, see experiments/speed."""
EVALUATION_BATCH_GPU = 256
CACHE_GIB = 8.0


@cache
def store_in(results: Path, gib: float) -> Store:
    """Return the cache of a ledger's folder, the same one for all cells of a process."""
    return Store(results / FOLDER, int(gib * 2**30))


@dataclass(frozen=True)
class Machine:
    """Where a cell runs. None of it is part of a cell's identity.

    Args:
        accelerator: Lightning's name: `auto`, `cpu`, `gpu`, ...
        threads: of torch on the CPU in one worker.
        loader_workers: processes that read and prepare batches; 0 reads in the process itself.
        deterministic: Lightning's: True, False or "warn".
        cache: GiB that what blocks which stand still make of examples may take on disk; 0: it is
            computed anew each time.
        diagnostics: what a cell notes about itself: `none`, `short` (what is at hand or takes
            few passes) or `full` (random weights too, other BatchNorm statistics, each block).
        checkpoint_minutes: after which a run that is not done leaves what another process can go
            on from, and again after as many; 0: never.
        store: where features are kept; nowhere before `kept_in`.
        devices: that train a cell together; see `peers`.
        peers: the processes that do so at this moment.
    """

    accelerator: str = "auto"
    threads: int = 1
    loader_workers: int = 0
    deterministic: bool | str = "warn"
    cache: float = CACHE_GIB
    diagnostics: Literal["none", "short", "full"] = "short"
    checkpoint_minutes: float = 10.0
    store: Store | None = None
    devices: int = 1
    peers: Peers = ALONE

    def kept_in(self, results: Path) -> Machine:
        """Return this machine with the cache of a ledger's folder, one for all workers."""
        return replace(self, store=store_in(results, self.cache)) if self.cache else self

    @property
    def device(self) -> torch.device:
        """The device that a run of this process uses."""
        return at_rest(self, Training()).strategy.root_device

    def trainer(self, training: Training, **options: Any) -> pl.Trainer:
        """Return a quiet Trainer that writes nothing by itself."""
        return pl.Trainer(
            accelerator=self.accelerator,
            devices=1,
            precision=training.precision,
            deterministic=self.deterministic,  # type: ignore[arg-type]
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            # found by itself a cluster is asked to begin the job anew, where it is only to tell
            plugins=[LightningEnvironment()],
            **options,
        )

    def loader(self, batches: Dataset[Any]) -> DataLoader[Any]:
        """Return a loader of ready batches, in their order."""
        # of its own, or each reading would move torch's draws, and none where a cache is read
        own = torch.Generator()
        return DataLoader(batches, None, num_workers=self.loader_workers, generator=own)

    def evaluation_loader(
        self, view: View, augmented: tuple[str, int] | None = None, size: int | None = None
    ) -> DataLoader[Any]:
        """Return a loader of a whole view, in its `reading_order`.

        Args:
            view: the examples.
            augmented: an augmentation and which view by it; None: as they are.
            size: of a batch; None: what is quickest where each example is for itself.
        """
        view.warm()
        quickest = EVALUATION_BATCH if self.device.type == "cpu" else EVALUATION_BATCH_GPU
        return self.loader(ViewBatches(view, size or quickest, augmented))


def at_rest(machine: Machine, training: Training) -> pl.Trainer:
    """Return a Trainer that fits nothing but knows device and precision; a process makes one.

    To make one takes longer than a step: each looks for plugins in every package installed.
    """
    wanted = machine.deterministic
    torch.use_deterministic_algorithms(bool(wanted), warn_only=wanted == "warn")
    # To fill every new tensor takes a tenth of a step, and tells only of what reads it unwritten.
    torch.utils.deterministic.fill_uninitialized_memory = wanted is True  # type: ignore[attr-defined]
    return _at_rest(machine, training.precision)


@cache
def _at_rest(machine: Machine, precision: Precision) -> pl.Trainer:
    return machine.trainer(Training(precision=precision))


@contextmanager
def applied(
    strategy: Strategy, machine: Machine, trainer: pl.Trainer | None = None
) -> Iterator[Callable[[Any], Any]]:
    """Put a strategy where it is to run, in eval mode; yields what brings a batch to it.

    Args:
        strategy: is put back afterwards where it was, and each of its parts in the mode it had.
        machine: where to run.
        trainer: in which it is training at this moment, if it is.
    """
    trainer = trainer or at_rest(machine, strategy.training_plan)
    precision, cut = trainer.precision_plugin, strategy.cut
    precision.convert_module(strategy)
    with placed(strategy, trainer.strategy.root_device), evaluating(strategy):
        strategy.cut = 0
        try:
            with torch.no_grad(), precision.forward_context():
                yield partial(_brought, trainer)
        finally:
            strategy.cut = cut


@contextmanager
def placed(strategy: Strategy, device: torch.device) -> Iterator[None]:
    """Put a strategy on a device, and afterwards back where it was."""
    held = {tensor.device: None for tensor in (*strategy.parameters(), *strategy.buffers())}
    if all(place == device for place in held):  # moved by one module at a time, even so
        yield
        return
    strategy.to(device)
    try:
        yield
    finally:
        strategy.to(next(iter(held)))


def bringing(machine: Machine, training: Training) -> Callable[[Any], Any]:
    """Return what brings a batch to where a strategy runs, in the precision of its inputs."""
    return partial(_brought, at_rest(machine, training))


def _brought(trainer: pl.Trainer, batch: Any) -> Any:
    moved = move_data_to_device(batch, trainer.strategy.root_device)
    return trainer.precision_plugin.convert_input(moved)


def quiet() -> None:
    """Keep memory that is freed, and Lightning's remarks about this machine out of every log."""
    keep_what_is_freed()
    _ask_no_driver()
    found_once()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for known in (
        "does not have many workers",  # batches are made of tensors in memory
        "GPU available but not used",
        "`srun` command is available",  # a worker is started by a launcher, not by Lightning
        r"`isinstance\(treespec, LeafSpec\)`",
        r"Found \d+ module\(s\) in eval mode",  # frozen means frozen
        "we have not yet implemented the batching rule",  # of attention, where seeds are stacked
    ):
        warnings.filterwarnings("ignore", message=f".*{known}.*")


@cache
def _ask_no_driver() -> None:
    """Let torch remember that there is no GPU: Lightning has it ask the driver at every step."""
    if not torch.cuda.is_available():
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
