"""The results of a training run: its curves, which step was chosen, what it took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.data.task import Task
from transfergrid.records.process.telling import tell_step
from transfergrid.records.record import Path, Tuning
from transfergrid.records.selection import ChosenBy, Selection

Log = Callable[[Mapping[str, float], int], None]
POINTS = 50


@dataclass
class Fit:
    """The result of a training run.

    Attributes:
        steps: batches that the strategy's own phases took.
        chosen_step: the step that the weights are from.
        chosen_by: the validation part, a rule without target labels, the last step, or no step.
        validation_checks: how often the validation part was scored.
        taken: how many batches had a part of each stream (`target`, `unlabelled`, `source`) or were
            a `teacher`'s; also the steps of the `optimiser` in the strategy's own phases.
        curves: arrays of equal length by prefix: train_step, examples_seen, train_loss and
            validation_step, validation_score, validation_loss.
        tuning: the search that chose the setting; None if nothing was to be searched.
        paths: for each dial turned after training, the values scored and the one chosen.
        stacked: how many seeds were trained side by side, including this one.
        devices: how many devices trained it together.
        selection: looks without target labels; None if there were none.
        begun: the state that each episode of the target begins with; None without episodes.
    """

    steps: int = 0
    chosen_step: int = 0
    chosen_by: ChosenBy = "closed_form"
    validation_checks: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    curves: dict[str, NDArray[Any]] = field(default_factory=dict)
    tuning: Tuning | None = None
    paths: tuple[Path, ...] = ()
    stacked: int = 1
    devices: int = 1
    selection: Selection | None = None
    begun: Mapping[str, Any] | None = None


def logged(
    curves: Mapping[str, NDArray[Any]], metric: str
) -> Iterator[tuple[dict[str, float], int]]:
    """Yield the (values, step) that were logged for a run with these curves, by step."""
    columns = {
        "train/loss": ("train_step", "train_loss"),
        "examples_seen": ("train_step", "examples_seen"),
        f"validation/{metric}": ("validation_step", "validation_score"),
        "validation/loss": ("validation_step", "validation_loss"),
    }
    rows: dict[int, dict[str, float]] = {}
    for key, (at, of) in columns.items():
        for step, value in zip(curves.get(at, ()), curves.get(of, ()), strict=True):
            rows.setdefault(int(step), {})[key] = float(value)
    for step in sorted(rows):
        yield rows[step], step


class Curves:
    """Collects training losses and validation scores by the strategy's own steps.

    Args:
        task: scores the validation part.
        metric: decides between steps.
        limit: the largest possible number of steps.
        log: receives every value.
    """

    def __init__(self, task: Task, metric: str, limit: int, log: Log) -> None:
        self.task, self.metric, self.limit, self.log = task, metric, limit, log
        self.every = max(1, limit // POINTS)
        self.step = self.seen = 0
        self.losses: list[Tensor] = []
        self.train: list[tuple[int, int, float]] = []
        self.validation: list[tuple[int, float, float]] = []

    def stepped(self, loss: Tensor, examples: int) -> None:
        """Count one step and its loss.

        Raises:
            FloatingPointError: the mean loss since the last point is not finite.
        """
        self.step += 1
        self.seen += examples
        self.losses.append(loss)
        if self.step % self.every == 0:
            self.flush()

    def flush(self) -> None:
        """Add a point to the curve: the mean of the losses since the last point."""
        if not self.losses:
            return
        loss = torch.stack(self.losses).float().mean().item()
        self.losses.clear()
        if not math.isfinite(loss):
            raise FloatingPointError(f"the training loss is {loss} at step {self.step}")
        self.train.append((self.step, self.seen, loss))
        self.log({"train/loss": loss, "examples_seen": self.seen}, self.step)
        tell_step(self.step, self.limit)

    def looked(self, decoded: Tensor, labels: Tensor, kept: bool = True) -> float:
        """Return the score of the validation part; add it to the curve if `kept`."""
        value = self.task.score(self.metric, decoded, labels)
        if not kept:
            return value
        loss = self.task.criterion(decoded, labels)
        self.validation.append((self.step, value, loss))
        self.log({f"validation/{self.metric}": value, "validation/loss": loss}, self.step)
        return value

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the curves as named arrays."""
        self.flush()
        return self._arrays()

    def _arrays(self) -> dict[str, NDArray[Any]]:
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

    def state(self) -> dict[str, Any]:
        """Return the curves so far as plain values and tensors."""
        return {
            "step": self.step,
            "seen": self.seen,
            "losses": [loss.clone() for loss in self.losses],
            "train": list(self.train),
            "validation": list(self.validation),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned, and log its points again."""
        self.step, self.seen = state["step"], state["seen"]
        self.losses = list(state["losses"])
        self.train = [tuple(row) for row in state["train"]]
        self.validation = [tuple(row) for row in state["validation"]]
        for values, step in logged(self._arrays(), self.metric):  # this process's log is empty
            self.log(values, step)
