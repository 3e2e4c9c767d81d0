"""Known entries of a matrix as numbered rows and columns, and the damped means that centre them."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transfergrid.strategies.phases import View

Centre = Literal["both", "users", "items", "none"]
"""Whose means are taken off beside the mean of all entries."""


class Entries(NamedTuple):
    """Known entries of one matrix; what is missing is not among them."""

    rows: Tensor
    """(n,) int64, from 0 on: each entry's row, a user."""
    columns: Tensor
    """(n,) likewise its column, an item."""
    values: Tensor
    """(n,) float64."""

    @property
    def turned(self) -> "Entries":
        """The same with rows and columns exchanged."""
        return Entries(self.columns, self.rows, self.values)


class Names(NamedTuple):
    """What the rows and the columns are known by: sorted numbers of names, (rows,) and (columns,).

    See `data.entries`.
    """

    rows: Tensor
    columns: Tensor


def place(numbers: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return where numbers of names (n,) stand among the known ones, sorted, and whether they do.

    The place of one that is not known is 0.
    """
    if not len(known):
        return torch.zeros_like(numbers), torch.zeros_like(numbers, dtype=torch.bool)
    found = torch.searchsorted(known, numbers.contiguous()).clamp_max(len(known) - 1)
    there = known[found] == numbers
    return torch.where(there, found, 0), there


def read(view: View) -> tuple[Tensor, Tensor]:
    """Return the numbers of names (n, 2) of a view's entries, and their values (n,) float64."""
    numbers = view.inputs()
    assert isinstance(numbers, Tensor)
    return numbers, view.labels.reshape(-1).double()


def known(view: View, further: Names | None = None) -> tuple[Entries, Names]:
    """Return a view's entries, and the names of rows and columns, `further` ones among them."""
    numbers, values = read(view)
    told = [numbers[:, axis] for axis in (0, 1)]
    if further is not None:
        told = [torch.cat(both) for both in zip(told, further, strict=True)]
    names = Names(*(own.unique() for own in told))  # type: ignore[no-untyped-call]
    rows, columns = (place(numbers[:, axis], names[axis])[0] for axis in (0, 1))
    return Entries(rows, columns, values), names


class Means(NamedTuple):
    """What is said of an entry by its row and its column alone: mean + row + column."""

    mean: Tensor
    rows: Tensor
    columns: Tensor

    def of(self, entries: Entries) -> Tensor:
        """Return what they say of each entry (n,)."""
        return self.mean + self.rows[entries.rows] + self.columns[entries.columns]


def damped(entries: Entries, sizes: tuple[int, int], centre: Centre, damping: float) -> Means:
    """Return the means of known entries: of all, of the rest by item, of what is left by user.

    A mean of m entries counts m / (m + damping) of itself, so that of few is near 0; of a row or
    column without any it is 0.

    Args:
        entries: that are known.
        sizes: how many rows and columns there are.
        centre: whose means are taken.
        damping: entries of no difference that each row and each column has beside its own.
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
    """Return the sum of the values (m,) of each (n,) over their number and the damping."""
    sums = values.new_zeros(n).index_add_(0, of, values)
    counts = values.new_zeros(n).index_add_(0, of, torch.ones_like(values)) + damping
    return torch.where(counts > 0, sums / counts.clamp_min(1e-300), 0.0)


def centred(entries: Entries, means: Means) -> tuple[Entries, Tensor]:
    """Return entries less their means, in the standard deviation of that, and this deviation."""
    left = entries.values - means.of(entries)
    unit = spread(left)
    return Entries(entries.rows, entries.columns, left / unit), unit


def spread(values: Tensor) -> Tensor:
    """Return the standard deviation of values (n,), 1 where they are all alike."""
    found = values.std(correction=0)
    return torch.where(found > 0, found, torch.ones_like(found))
