"""Factors of users and items, from the target's ratings alone."""

from transfergrid.strategies import Count, Data, NotNegative, Positive, Range
from transfergrid.strategies.matrices.alternating import Block, factorised
from transfergrid.strategies.matrices.known_entries import (
    Centre,
    Entries,
    Names,
    centred,
    damped,
    known,
)
from transfergrid.strategies.matrices.over_entries import FillsMatrix

PENALTY = Range(0.3, 100.0, default=2.0)
"""Search range of the penalty on factors."""
RANK = Range(1, 20, default=5)


class MatrixFactorization(FillsMatrix):
    """An entry is a user's and an item's mean, and the product of their factors.

    Factors are fitted to the ratings minus their means, divided by the standard deviation of that,
    so that a penalty means the same in any unit. Sums are over known entries alone: a missing entry
    is not 0. A user or item without training entries has factors of 0, and the means remain.

    Formula:
        sum over known entries of ((r - m - b_u - b_i) / s - u · v)² + λ (sum |u|² + sum |v|²), s
        the standard deviation of what means leave, by alternating least squares

    Try it:
        With ten or more ratings for each user; with fewer, factors are hardly more than 0.

    Cost:
        A sweep takes entries x rank² operations; about a second in all for a hundred thousand
        ratings.

    Source:
        Koren, Bell & Volinsky 2009, Matrix factorization techniques for recommender systems,
        Computer 42(8); `by_count`: Zhou et al. 2008, Large-scale parallel collaborative filtering
        for the Netflix prize, section 3.1

    Args:
        rank: length of the factors.
        regularisation: λ.
        by_count: whether λ is multiplied by the number of ratings of each user and item (ALS-WR),
            which is another model; the paper's λ is then 0.065.
        sweeps: number of alternating sweeps over users' and items' factors.
        centre: whose means are subtracted, after the overall mean: both, users, items or none.
        damping: number of virtual entries with deviation 0 added to each user and each item.
    """

    space = {"regularisation": PENALTY, "rank": RANK}
    also_called = ("matrix_factorisation", "als", "funk_svd")
    badges = ("formula_exact",)

    def __init__(
        self,
        rank: Count = 5,
        regularisation: Positive = 2.0,
        by_count: bool = False,
        sweeps: Count = 30,
        centre: Centre = "both",
        damping: NotNegative = 5.0,
    ) -> None:
        super().__init__(centre, damping)
        self.rank, self.regularisation, self.by_count = rank, regularisation, by_count
        self.sweeps = sweeps

    def width(self, known: tuple[int, int]) -> int:
        return self.rank

    def solve(self, data: Data) -> None:
        assert data.target is not None
        self.factorise(*known(data.target))

    def factorise(
        self, entries: Entries, names: Names, beside: Block | None = None, turned: bool = False
    ) -> None:
        """Fit the factors of entries, jointly with those of another matrix if there is one.

        Args:
            entries: entries of the target.
            names: names of their rows and columns, and of those that the other matrix adds.
            beside: another matrix with the same rows.
            turned: whether the other matrix's rows are the columns of the entries.
        """
        sizes = len(names.rows), len(names.columns)
        means = damped(entries, sizes, self.centre, self.damping)
        own, unit = centred(entries, means)
        if turned:
            own, sizes = own.turned, sizes[::-1]
        weight = 1.0 if beside is None else 1.0 - beside.weight
        blocks = [Block(own, sizes[1], "own", weight), *([beside] if beside else [])]
        told = (self.rank, self.regularisation, self.by_count, self.sweeps, self.block_seed)
        rows, (columns, *_) = factorised(blocks, sizes[0], *told)
        if turned:
            rows, columns = columns, rows
        self.keep(names, means, unit * rows, columns)
