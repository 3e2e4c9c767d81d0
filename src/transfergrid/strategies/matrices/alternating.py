"""Alternating least squares for factors of rows and columns, of one matrix or several jointly."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from transfergrid.records.seeds import generator
from transfergrid.strategies.matrices.known_entries import Entries

AT_ONCE = 2**16
"""Number of entries whose outer products are held in memory at a time."""
SIZE = 0.1
"""Standard deviation of initial column factors, times the square root of the rank."""


class Term(NamedTuple):
    """One matrix's part of the objective for row factors, given its column factors."""

    entries: Entries
    columns: Tensor
    """Factors of the columns, (columns, rank)."""
    weight: float = 1.0
    """Weight of each squared error."""


def row_factors(terms: Sequence[Term], n: int, penalty: float, by_count: bool = False) -> Tensor:
    """Return the row factors (n, rank) that minimise the objective of `terms`.

    For each row u it is the sum over known entries of weight (value - u · v)², plus penalty |u|².

    Args:
        terms: of one matrix, or of several that share the rows.
        n: number of rows.
        penalty: penalty on each row's factors.
        by_count: whether the penalty is multiplied by the weighted number of the row's entries.
    """
    rank = terms[0].columns.shape[1]
    like = terms[0].columns
    left, right, counts = like.new_zeros(n, rank, rank), like.new_zeros(n, rank), like.new_zeros(n)
    for entries, columns, weight in terms:
        for begin in range(0, len(entries.values), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            rows, own = entries.rows[part], columns[entries.columns[part]]
            squares = (own[:, :, None] * own[:, None, :]).flatten(1)
            each = [squares, own * entries.values[part, None], torch.ones_like(own[:, :1])]
            sums = weight * _sums(rows, n, torch.cat(each, 1))
            left += sums[:, : rank**2].reshape(left.shape)
            right += sums[:, rank**2 : -1]
            counts += sums[:, -1]
    strength = penalty * (counts if by_count else torch.ones_like(counts))
    strength = torch.where(strength > 0, strength, 1.0)  # for a row without entries
    left += strength[:, None, None] * torch.eye(rank, dtype=left.dtype, device=left.device)
    found: Tensor = torch.linalg.solve(left, right)
    return found


def _sums(of: Tensor, n: int, values: Tensor) -> Tensor:
    """Return the sums of values (m, width) by their index in `of`, (n, width).

    It is a product with a sparse matrix, as `index_add_` is slow: it adds entry by entry.
    """
    places = torch.stack([of, torch.arange(len(of), device=of.device)])
    member = torch.sparse_coo_tensor(
        places, torch.ones_like(values[:, 0]), (n, len(of)), check_invariants=False
    )
    found: Tensor = torch.sparse.mm(member, values)
    return found


class Block(NamedTuple):
    """One matrix, which shares its rows with others and has its own columns."""

    entries: Entries
    columns: int
    """Number of columns."""
    name: str
    """Name of the random stream of its initial factors."""
    weight: float = 1.0


class Factors(NamedTuple):
    """Factors of the rows (rows, rank), and of each block's columns (columns, rank)."""

    rows: Tensor
    columns: list[Tensor]


def factorised(
    blocks: Sequence[Block],
    rows: int,
    rank: int,
    penalty: float,
    by_count: bool,
    sweeps: int,
    seed: int,
) -> Factors:
    """Return factors after a number of sweeps, each over rows, then the columns of each block.

    Each half of a sweep is solved exactly, so the objective never rises.

    Args:
        blocks: matrices with the same rows.
        rows: number of rows.
        rank: length of the factors.
        penalty: see `row_factors`.
        by_count: see `row_factors`.
        sweeps: number of sweeps.
        seed: the block seed; columns begin at random.
    """
    columns = [_begun(block, rank, seed) for block in blocks]
    found = columns[0].new_zeros(rows, rank)
    for _ in range(sweeps):
        terms = [
            Term(block.entries, own, block.weight)
            for block, own in zip(blocks, columns, strict=True)
        ]
        found = row_factors(terms, rows, penalty, by_count)
        columns = [
            row_factors([Term(b.entries.turned, found, b.weight)], b.columns, penalty, by_count)
            for b in blocks
        ]
    return Factors(found, columns)


def _begun(block: Block, rank: int, seed: int) -> Tensor:
    drawn = generator(seed, "factors", block.name).normal(size=(block.columns, rank))
    return torch.from_numpy(SIZE / np.sqrt(rank) * drawn).to(block.entries.values)
