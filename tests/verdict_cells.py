"""Families of made-up cells with known predictions, for tests of verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ledger_factory import made, predicted
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record

ITEMS = 400


class Cells:
    """Records with their predictions, written into a ledger or judged as they are."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.said: dict[str, Predictions] = {}

    def arm(
        self,
        strategy: str,
        source: str | None = None,
        mean: float = 70.0,
        base: list[Record] | None = None,
        *,
        n: int = 5,
        sd: float = 0.6,
        items: int = ITEMS,
        right: NDArray[Any] | None = None,
        exploratory: list[list[Record]] | None = None,
        **fields: Any,
    ) -> list[Record]:
        """Add an arm and return its cells.

        Its seeds lie evenly around `mean` per cent, its hits among the items as for any other arm:
        the easiest ones, so that arms of equal scores hit the same. `right` (n, items) says else.
        """
        places = np.arange(n) - (n - 1) / 2
        scores = (mean + sd * places) / 100
        hits = right if right is not None else np.arange(items) < items * scores[:, None]
        cells = []
        for seed in range(n):
            cell = made(
                strategy,
                source,
                seed=seed,
                score=float(hits[seed].mean()),
                baseline=base[seed] if base and seed < len(base) else None,
                exploratory=tuple(
                    Reference(name=arm[seed].names.strategy, id=arm[seed].id)
                    for arm in exploratory or ()
                ),
                **fields,
            )
            cells.append(cell)
            self.said[cell.id] = predicted(hits[seed])
        self.records += cells
        return cells

    def change(self, cells: list[Record], **fields: Any) -> list[Record]:
        """Change fields of cells that are there; return them as they are now."""
        ids = {cell.id for cell in cells}
        self.records = [replace(c, **fields) if c.id in ids else c for c in self.records]
        return [cell for cell in self.records if cell.id in ids]

    def read(self, identity: str) -> Predictions:
        """Return a cell's predictions, as a ledger does."""
        if identity not in self.said:
            raise BadInputError(f"{identity} was not kept")
        return self.said[identity]

    def write(self, ledger: Ledger) -> Ledger:
        """Write all cells."""
        for record in self.records:
            ledger.write(record, self.said.get(record.id))
        return ledger
