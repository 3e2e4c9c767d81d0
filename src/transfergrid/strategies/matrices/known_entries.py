"""Known entries of a matrix, by row and column index, and damped means to centre them."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transfergrid.strategies.phases import View

Centre = Literal["both", "users", "items", "none"]
"""Whose means are subtracted after the mean of all entries."""


class Entries(NamedTuple):
    """The known entries of a matrix, as parallel tensors; missing entries are left out."""

    rows: Tensor
    """(n,) int64, the row of each entry, a user, from 0."""
    columns: Tensor
    """(n,) int64, the column of each entry, an item, from 0."""
    values: Tensor
    """(n,) float64."""

    @property
    def turned(self) -> "Entries":
        """The entries of the transposed matrix."""
        return Entries(self.columns, self.rows, self.values)


class Names(NamedTuple):
    """The names of rows and columns, as sorted integers, (rows,) and (columns,).

    See `data.entries` for how names become integers.
    """

    rows: Tensor
    columns: Tensor


def place(numbers: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index of each name (n,) among the sorted known names, and whether it is known.

    The index of an unknown name is 0.
    """
    if not len(known):
        return torch.zeros_like(numbers), torch.zeros_like(numbers, dtype=torch.bool)
    found = torch.searchsorted(known, numbers.contiguous()).clamp_max(len(known) - 1)
    there = known[found] == numbers
    return torch.where(there, found, 0), there


def read(view: View) -> tuple[Tensor, Tensor]:
    """Return the row and column names (n, 2) of a view's entries, and their values (n,) float64."""
    numbers = view.inputs()
    assert isinstance(numbers, Tensor)
    return numbers, view.labels.reshape(-1).double()


def known(view: View, further: Names | None = None) -> tuple[Entries, Names]:
    """Return a view's entries, and its names of rows and columns together with `further` ones."""
    numbers, values = read(view)
    told = [numbers[:, axis] for axis in (0, 1)]
    if further is not None:
        told = [torch.cat(both) for both in zip(told, further, strict=True)]
    names = Names(*(own.unique() for own in told))  # type: ignore[no-untyped-call]
    rows, columns = (place(numbers[:, axis], names[axis])[0] for axis in (0, 1))
    return Entries(rows, columns, values), names


class Means(NamedTuple):
    """The part of an entry that its row and column alone predict: mean + row + column."""

    mean: Tensor
    rows: Tensor
    columns: Tensor

    def of(self, entries: Entries) -> Tensor:
        """Return the sum of the three for each entry (n,)."""
        return self.mean + self.rows[entries.rows] + self.columns[entries.columns]


def damped(entries: Entries, sizes: tuple[int, int], centre: Centre, damping: float) -> Means:
    """Return the overall mean, then the items' means of the rest, then the users' of what is left.

    A mean of m entries is multiplied by m / (m + damping), so with few entries it is near 0; for a
    row or column without entries it is 0.

    Args:
        entries: the known entries.
        sizes: numbers of rows and columns.
        centre: whose means are taken; others are 0.
        damping: number of virtual entries with deviation 0 added to each row and each column.
    """
    left = entries.values
    mean = left.mean()
    left = left - mean
    columns = left.new_zeros(sizes[1])
    if centre in ("both", "items"):
        columns = _damped(left, entries.columns, sizes[1], damping)
        left = left - columns[entries.columns]
    rows = left.new_zeros(sizes[0])
    if centre in ("both", "users"):
        rows = _damped(left, entries.rows, sizes[0], damping)
    return Means(mean, rows, columns)


def _damped(values: Tensor, of: Tensor, n: int, damping: float) -> Tensor:
    """Return the damped means (n,) of values (m,) by their index in `of`."""
    sums = values.new_zeros(n).index_add_(0, of, values)
    counts = values.new_zeros(n).index_add_(0, of, torch.ones_like(values)) + damping
    return torch.where(counts > 0, sums / counts.clamp_min(1e-300), 0.0)


def centred(entries: Entries, means: Means) -> tuple[Entries, Tensor]:
    """Return entries minus their means, divided by their standard deviation; and that deviation."""
    left = entries.values - means.of(entries)
    unit = spread(left)
    return Entries(entries.rows, entries.columns, left / unit), unit


def spread(values: Tensor) -> Tensor:
    """Return the standard deviation of values (n,), or 1 if they are all equal."""
    found = values.std(correction=0)
    return torch.where(found > 0, found, torch.ones_like(found))
