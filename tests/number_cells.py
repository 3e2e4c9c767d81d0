"""Families of made-up cells of targets whose labels are numbers, for tests of verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ledger_factory import made
from transfergrid.data.regression import Regression
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Data, Metric, Record, Scores

ITEMS = 200


class NumberCells:
    """Cells of one target that are off by so much, with their predictions.

    Args:
        metric: that decides.
        unit: what the labels, of standard deviation 1, are multiplied by.
        target: its name.
    """

    def __init__(self, metric: str = "mae", unit: float = 10.0, target: str = "ages") -> None:
        self.metric, self.unit, self.target = metric, unit, target
        self.task = Regression(("age",))
        rng = np.random.default_rng(0)
        self.labels = (unit * (3 + rng.normal(size=ITEMS))).astype(np.float32)
        self.luck = rng.normal(size=ITEMS)
        self.records: list[Record] = []
        self.said: dict[str, Predictions] = {}

    def arm(
        self, strategy: str, source: str | None = None, off: float = 0.5,
        base: list[Record] | None = None, *, n: int = 5, **fields: Any,
    ) -> list[Record]:  # fmt: skip
        """Add an arm whose errors have this standard deviation, in that of the labels."""
        cells = []
        for seed in range(n):
            rng = np.random.default_rng([seed, *strategy.encode(), *(source or "").encode()])
            noise = 0.8 * self.luck + 0.6 * rng.normal(size=ITEMS)
            said = (self.labels + self.unit * off * noise).astype(np.float32)[:, None]
            cell = made(
                strategy, source, seed=seed, target=self.target,
                baseline=base[seed] if base else None, **fields,
            )  # fmt: skip
            cells.append(self._scored(cell, said))
        self.records += cells
        return cells

    def _scored(self, cell: Record, said: Any) -> Record:
        labels = torch.from_numpy(self.labels)
        scores = self.task.scores(torch.from_numpy(said), labels)
        better = {name: (0.9 if name == "r2" else 1.1) * (v or 0) for name, v in scores.items()}
        self.said[cell.id] = Predictions(said, self.labels)
        return replace(
            cell,
            metric=Metric(name=self.metric, higher_is_better=self.metric == "r2"),
            scores=Scores(test=scores, validation=better, train=scores),
            data=Data(
                train=16, validation=4, test=ITEMS, outputs=("age",), floor=self.task.floor(labels)
            ),
        )

    def read_said(self, identity: str) -> Predictions:
        """Return a cell's predictions, as a ledger does."""
        return self.said[identity]

    def write(self, ledger: Ledger) -> Ledger:
        """Write all cells."""
        for record in self.records:
            ledger.write(record, self.said[record.id])
        return ledger


def family(metric: str = "mae", unit: float = 10.0, target: str = "ages") -> NumberCells:
    """Return cells of arms that help, hurt and do nothing, with what stands beside them."""
    cells = NumberCells(metric, unit, target)
    cells.arm("majority", off=1.0, architecture=None)
    cells.arm("ridge_regression", off=0.7, architecture=None)
    scratch = cells.arm("scratch", off=0.5)
    cells.arm("full_finetuning", "birds", 0.3, scratch)
    cells.arm("full_finetuning", "noise", 0.8, scratch)
    cells.arm("feature_extraction", "birds", 0.5002, scratch)
    return cells
