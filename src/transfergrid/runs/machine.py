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
"""Batch size without training: on a CPU larger ones miss its caches, see experiments/speed."""
EVALUATION_BATCH_GPU = 256
CACHE_GIB = 8.0


@cache
def store_in(results: Path, gib: float) -> Store:
    """Return the cache in a ledger's folder; the same object for all cells of a process."""
    return Store(results / FOLDER, int(gib * 2**30))


@dataclass(frozen=True)
class Machine:
    """Where a cell runs. None of it is part of a cell's identity.

    Args:
        accelerator: Lightning's name: `auto`, `cpu`, `gpu`, ...
        threads: torch's CPU threads in one worker.
        loader_workers: processes that read and prepare batches; 0 reads in the process itself.
        deterministic: Lightning's: True, False or "warn".
        cache: GiB on disk for cached outputs of frozen blocks; 0: they are computed each time.
        diagnostics: what a cell records about itself: `none`, `short` (what is at hand or takes
            few passes) or `full` (random weights too, other BatchNorm statistics, each block).
        checkpoint_minutes: minutes between two checkpoints, from which another process can resume;
            0: there are none.
        store: the cache of features; None before `kept_in`.
        devices: how many devices train a cell together; see `peers`.
        peers: the processes that train a cell together now.
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
        """Return this machine with the cache in a ledger's folder, which all workers share."""
        return replace(self, store=store_in(results, self.cache)) if self.cache else self

    @property
    def device(self) -> torch.device:
        """The device that runs of this process use."""
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
            # a cluster that Lightning detects by itself would be asked to requeue the job
            plugins=[LightningEnvironment()],
            **options,
        )

    def loader(self, batches: Dataset[Any]) -> DataLoader[Any]:
        """Return a loader of ready batches, in their order."""
        # its own generator: else a pass over data would advance torch's, and a cached one would not
        own = torch.Generator()
        return DataLoader(batches, None, num_workers=self.loader_workers, generator=own)

    def evaluation_loader(
        self, view: View, augmented: tuple[str, int] | None = None, size: int | None = None
    ) -> DataLoader[Any]:
        """Return a loader of a whole view, in its `reading_order`.

        Args:
            view: the examples.
            augmented: an augmentation and the number of the view; None: not augmented.
            size: batch size; None: the fastest, where the result does not depend on it. It is the
                preprocessing's `evaluated_at_once` if that is larger than what suits the device.
        """
        view.warm()
        if size is None:
            quickest = EVALUATION_BATCH if self.device.type == "cpu" else EVALUATION_BATCH_GPU
            size = max(quickest, getattr(view.prepared.preprocess, "evaluated_at_once", 0))
        return self.loader(ViewBatches(view, size, augmented))


def at_rest(machine: Machine, training: Training) -> pl.Trainer:
    """Return a Trainer that is not used to fit, only for device and precision; it is kept.

    Making a Trainer takes longer than a training step: it looks for plugins in all packages.
    """
    wanted = machine.deterministic
    torch.use_deterministic_algorithms(bool(wanted), warn_only=wanted == "warn")
    # Filling every new tensor takes a tenth of a step, and only exposes reads of unwritten memory.
    torch.utils.deterministic.fill_uninitialized_memory = wanted is True  # type: ignore[attr-defined]
    return _at_rest(machine, training.precision)


@cache
def _at_rest(machine: Machine, precision: Precision) -> pl.Trainer:
    return machine.trainer(Training(precision=precision))


@contextmanager
def applied(
    strategy: Strategy, machine: Machine, trainer: pl.Trainer | None = None
) -> Iterator[Callable[[Any], Any]]:
    """Move a strategy to its device, in eval mode; yield the function that moves a batch there.

    Args:
        strategy: afterwards moved back, each of its parts in the mode that it had.
        machine: where to run.
        trainer: the trainer in which the strategy is training now; None: it is not training.
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
    """Move a strategy to a device, and afterwards back."""
    held = {tensor.device: None for tensor in (*strategy.parameters(), *strategy.buffers())}
    if all(place == device for place in held):  # `to` would still visit every module
        yield
        return
    strategy.to(device)
    try:
        yield
    finally:
        strategy.to(next(iter(held)))


def bringing(machine: Machine, training: Training) -> Callable[[Any], Any]:
    """Return the function that moves a batch to the device, in the precision of the training."""
    return partial(_brought, at_rest(machine, training))


def _brought(trainer: pl.Trainer, batch: Any) -> Any:
    moved = move_data_to_device(batch, trainer.strategy.root_device)
    return trainer.precision_plugin.convert_input(moved)


def quiet() -> None:
    """Set up a process: keep freed memory, make torch and Lightning faster, silence warnings."""
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
    """Let torch remember that there is no GPU: Lightning makes it ask the driver at every step."""
    if not torch.cuda.is_available():
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
