"""Train one strategy with Lightning, keep its curves, choose its step."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from typing_extensions import override

from transfergrid.data.batches import Batch, CellData, StepBatches, View, ViewBatches
from transfergrid.data.metrics import better, score
from transfergrid.records.telling import tell
from transfergrid.records.training import Training
from transfergrid.strategies.base import Strategy

Log = Callable[[Mapping[str, float], int], None]
CURVE_POINTS = 50
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Machine:
    """Where a cell runs. None of it is part of a cell's identity.

    Args:
        accelerator: Lightning's name: `auto`, `cpu`, `gpu`, ...
        threads: of torch on the CPU in one worker.
        loader_workers: processes that read and prepare batches; 0 reads in the process itself.
        deterministic: Lightning's: True, False or "warn".
    """

    accelerator: str = "auto"
    threads: int = 1
    loader_workers: int = 0
    deterministic: bool | str = "warn"

    @property
    def device(self) -> torch.device:
        """The device that a run of this process uses."""
        return self.trainer(Training()).strategy.root_device

    def trainer(self, training: Training, **options: Any) -> pl.Trainer:
        """Return a quiet Trainer that writes nothing by itself."""
        return pl.Trainer(
            accelerator=self.accelerator,
            devices=1,
            precision=training.precision,  # type: ignore[arg-type]
            deterministic=self.deterministic,  # type: ignore[arg-type]
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **options,
        )


@dataclass
class Fit:
    """What came of a training run.

    `curves` holds equally long arrays by prefix: train_step, examples_seen, train_loss and
    validation_step, validation_score, validation_loss.
    """

    steps: int = 0
    chosen_step: int = 0
    chosen_by: Literal["validation", "last_step", "closed_form"] = "closed_form"
    validation_checks: int = 0
    curves: dict[str, NDArray[Any]] = field(default_factory=dict)


class Curves(pl.Callback):
    """Collect the training loss and the validation score; remember the best weights."""

    def __init__(
        self, metric: str, validation: View | None, every: int, log: Log, limit: int
    ) -> None:
        self.metric, self.every, self.limit = metric, every, limit
        self.tell = log  # Lightning owns `log`
        self.labels: Tensor | None = None
        if validation is not None:  # as they are read, for Lightning hands over batch by batch
            self.labels = torch.from_numpy(validation.labels[validation.reading_order()])
        self.losses: list[Tensor] = []
        self.train: list[tuple[int, int, float]] = []
        self.validation: list[tuple[int, float, float]] = []
        self.logits: list[Tensor] = []
        self.seen = 0
        self.best: tuple[int, float, dict[str, Tensor]] | None = None
        self.step = 0

    @override
    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.step = batch_idx + 1
        self.losses.append(outputs["loss"].detach())
        first = batch.target or batch.source
        self.seen += len(first.labels) if first is not None else 0
        if self.step % self.every == 0:
            self._flush()

    def _flush(self) -> None:
        if not self.losses:
            return
        loss = torch.stack(self.losses).float().mean().item()
        self.losses.clear()
        if not math.isfinite(loss):
            raise FloatingPointError(f"the training loss is {loss} at step {self.step}")
        self.train.append((self.step, self.seen, loss))
        self.tell({"train/loss": loss, "examples_seen": self.seen}, self.step)
        tell(f"step {self.step} of {self.limit}")

    @override
    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        self.logits.append(outputs.detach().float().cpu())

    @override
    def on_validation_epoch_end(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        found = torch.cat(self.logits).softmax(dim=1)
        self.logits.clear()
        self.look(found, pl_module)

    @property
    def last_look(self) -> int:
        """The step at which the validation part was scored last."""
        return int(self.validation[-1][0]) if self.validation else 0

    def look(self, probabilities: Tensor, module: pl.LightningModule) -> None:
        """Score the validation part; keep the weights if they are the best so far."""
        assert self.labels is not None
        value = score(self.metric, probabilities, self.labels)
        loss = score("loss", probabilities, self.labels)
        self.validation.append((self.step, value, loss))
        self.tell({f"validation/{self.metric}": value, "validation/loss": loss}, self.step)
        if self.best is None or better(self.metric, value, self.best[1]):
            weights = {k: v.detach().clone() for k, v in module.state_dict().items()}
            self.best = (self.step, value, weights)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the curves as named arrays."""
        self._flush()
        train = np.array(self.train, dtype=np.float64).reshape(-1, 3)
        validation = np.array(self.validation, dtype=np.float64).reshape(-1, 3)
        return {
            "train_step": train[:, 0].astype(np.int64),
            "examples_seen": train[:, 1].astype(np.int64),
            "train_loss": train[:, 2],
            "validation_step": validation[:, 0].astype(np.int64),
            "validation_score": validation[:, 1],
            "validation_loss": validation[:, 2],
        }


def quiet() -> None:
    """Keep Lightning's remarks about this machine out of every cell's log."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for known in (
        "does not have many workers",  # batches are made of tensors in memory
        "GPU available but not used",
        r"`isinstance\(treespec, LeafSpec\)`",
        "You defined a `validation_step` but have no `val_dataloader`",  # small label budgets
        r"Found \d+ module\(s\) in eval mode",  # frozen means frozen
        "is an instance of `nn.Module` and is already saved",  # a teacher among the arguments
    ):
        warnings.filterwarnings("ignore", message=f".*{known}.*")


def fit(
    strategy: Strategy, data: CellData, seed: int, machine: Machine, metric: str, log: Log
) -> Fit:
    """Train the strategy on what its data holds and leave it at the chosen step, in eval mode.

    With a validation part the step with the best value of `metric` is chosen, the earliest of
    equals; otherwise the last one.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    if not strategy.trainable():
        strategy.eval()
        return Fit()
    training, limit = strategy.training_plan, strategy.limit
    batches = StepBatches(data, seed, limit, training.batch_size, training.augmentation)
    curves = Curves(metric, data.validation, max(1, limit // CURVE_POINTS), log, limit)
    trainer = machine.trainer(
        training,
        max_steps=limit,
        max_epochs=1,
        callbacks=[curves],
        val_check_interval=math.ceil(training.steps / training.validations),
        gradient_clip_val=training.gradient_clip,
    )
    trainer.fit(strategy, _loader(batches, machine), _validation_loader(data, machine))
    if data.validation is not None and curves.last_look < curves.step:  # the last step too
        curves.look(_read(strategy, data.validation, machine), strategy)
    result = Fit(curves.step, curves.step, "last_step", len(curves.validation), curves.arrays())
    if curves.best is not None:
        result.chosen_step, _, weights = curves.best
        result.chosen_by = "validation"
        strategy.load_state_dict(weights)
    strategy.eval()
    return result


def _loader(batches: StepBatches, machine: Machine) -> DataLoader[Batch]:
    if machine.loader_workers:
        batches.warm()
    return DataLoader(batches, batch_size=None, num_workers=machine.loader_workers)


def _validation_loader(data: CellData, machine: Machine) -> DataLoader[Any] | None:
    if data.validation is None:
        return None
    return _evaluation_loader(data.validation, machine)


def _evaluation_loader(view: View, machine: Machine) -> DataLoader[Any]:
    if machine.loader_workers:
        view.prepared.warm()
    batches = ViewBatches(view, EVALUATION_BATCH)
    return DataLoader(batches, batch_size=None, num_workers=machine.loader_workers)


def probabilities(strategy: Strategy, view: View, machine: Machine) -> Tensor:
    """Return the class probabilities of a view, (n, classes) float32 on the CPU.

    Raises:
        FloatingPointError: one of them is not finite; such a run has no valid score.
    """
    found = _read(strategy, view, machine)
    in_order = torch.empty_like(found)
    in_order[torch.from_numpy(view.reading_order())] = found
    return in_order


def _read(strategy: Strategy, view: View, machine: Machine) -> Tensor:
    """Return finite probabilities of a view in its `reading_order`."""
    loader = _evaluation_loader(view, machine)
    strategy.eval()
    outputs: Any = machine.trainer(strategy.training_plan).predict(strategy, loader)
    found = torch.cat([logits.float().cpu() for logits in outputs]).softmax(dim=1)
    if not bool(found.isfinite().all()):
        raise FloatingPointError("the predictions are not finite")
    return found
