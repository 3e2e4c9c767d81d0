"""The base class of methods that complete a matrix from what is known of each row and column."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from transfergrid.records.needs import Badge, Transferred
from transfergrid.strategies import (
    Baselines,
    Data,
    Inputs,
    Needs,
    NotNegative,
    Phase,
    Sizes,
    Strategy,
)
from transfergrid.strategies.matrices.known_entries import Centre, Means, Names, place


class FillsMatrix(Strategy):
    """An entry is a mean, plus offsets of its row and its column, plus a product of their factors.

    All of these are learned from the known training entries. A row or column without any has
    factors of 0 and adds nothing: the other one's offset remains, and the mean if both are unknown.

    Args:
        centre: whose means are subtracted, after the overall mean: both, users, items or none.
        damping: number of virtual entries with deviation 0 added to each user and each item.
    """

    needs = Needs(source="none", steps=False, tasks=("completion",))
    baselines = Baselines(labelled="rating_means")
    transfers: ClassVar[Transferred] = "nothing"
    badges: ClassVar[tuple[Badge, ...]] = ()

    row_names: Tensor
    column_names: Tensor
    mean: Tensor
    row_means: Tensor
    column_means: Tensor
    row_factors: Tensor
    column_factors: Tensor

    def __init__(self, centre: Centre = "both", damping: NotNegative = 5.0) -> None:
        super().__init__()
        self.centre, self.damping = centre, damping

    def build(self, sizes: Sizes) -> None:
        known = self.counts(sizes)
        for name, n in zip(("row", "column"), known, strict=True):
            self.register_buffer(f"{name}_names", torch.zeros(n, dtype=torch.int64))
            self.register_buffer(f"{name}_means", torch.zeros(n))
            self.register_buffer(f"{name}_factors", torch.zeros(n, self.width(known)))
        self.register_buffer("mean", torch.zeros(()))

    def counts(self, sizes: Sizes) -> tuple[int, int]:
        """Return the numbers of rows and columns that something is learned about."""
        return sizes.names

    def width(self, known: tuple[int, int]) -> int:
        """Return the length of the factors, given the numbers of known rows and columns."""
        return 0

    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    def solve(self, data: Data) -> None:
        """Learn from the known entries, and store the result by `keep`."""
        raise NotImplementedError

    def keep(self, names: Names, means: Means, rows: Tensor, columns: Tensor) -> None:
        """Store names, means, and factors (rows, width) and (columns, width), or narrower ones."""
        self.row_names.copy_(names.rows)
        self.column_names.copy_(names.columns)
        self.mean.copy_(means.mean)
        self.row_means.copy_(means.rows)
        self.column_means.copy_(means.columns)
        for held, found in ((self.row_factors, rows), (self.column_factors, columns)):
            held.zero_()[:, : found.shape[1]].copy_(found)

    def predict(self, inputs: Inputs) -> Tensor:
        assert isinstance(inputs, Tensor)
        (row, has_row), (column, has_column) = (
            place(inputs[:, 0], self.row_names),
            place(inputs[:, 1], self.column_names),
        )
        said = self.mean.expand(len(inputs))
        if len(self.row_names):
            own = self.row_factors[row] * self.column_factors[column]
            said = said + has_row * self.row_means[row] + has_column * self.column_means[column]
            said = said + (has_row & has_column) * own.sum(1)
        return said[:, None]

    def tells(self) -> dict[str, Any]:
        return {"users": len(self.row_names), "items": len(self.column_names)}
