"""A matrix near the known entries of the target, with a small nuclear norm."""

from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from transfergrid.strategies import BadInputError, Count, Data, NotNegative, Range
from transfergrid.strategies.matrices.known_entries import Centre, centred, damped, known
from transfergrid.strategies.matrices.over_entries import FillsMatrix

LARGEST = 2**26
"""Most entries of the dense matrix, known or not: 512 MiB."""
CLOSE = 1e-9
"""Relative change of Z in a step that counts as converged."""


def shrunk(matrix: Tensor, by: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, s and V' of a matrix after soft-thresholding its singular values by `by`."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = (values - by).clamp_min(0)
    rank = int((values > 0).sum())
    return left[:, :rank], values[:rank], right[:rank]


def completed(
    matrix: Tensor, observed: Tensor, lam: float, iterations: int, close: float = CLOSE
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, s and V' of the Z that minimises ½ |observed (X - Z)|² + lam |Z|_*.

    It is Mazumder et al. 2010, algorithm 1, for one lam from Z = 0: each iteration inserts the
    known entries and soft-thresholds the singular values. Momentum (Beck & Teboulle 2009, section
    4) saves hundreds of iterations for unknown entries; it restarts where it points backwards
    (O'Donoghue & Candès 2015, section 3).

    Args:
        matrix: X, (rows, columns); entries that are not observed are ignored.
        observed: (rows, columns) bool.
        lam: threshold of the singular values.
        iterations: most iterations.
        close: relative change of Z at which iterations end.
    """
    found = ahead = torch.zeros_like(matrix)
    pace = 1.0
    for _ in range(iterations):
        parts = shrunk(torch.where(observed, matrix, ahead), lam)
        new = (parts[0] * parts[1]) @ parts[2]
        moved, way = new - ahead, new - found
        if moved.norm() <= close * new.norm():
            break
        if (moved * way).sum() < 0:
            pace = 1.0
        faster = (1 + (1 + 4 * pace**2) ** 0.5) / 2
        ahead = new + (pace - 1) / faster * way
        found, pace = new, faster
    return parts


class SoftImpute(FillsMatrix):
    """The matrix of means and of what is near the known entries at a small nuclear norm.

    The penalty is a share of the smallest one at which only the means are left: the largest
    singular value of the known entries with 0 elsewhere. At 1 it is `rating_means`. An entry that
    occurs more than once counts as the mean of its values. The problem is convex, so there is one
    solution, whatever the seed.

    Formula:
        min_Z ½ sum over known entries of (r - m - b_u - b_i - Z)² + λ |Z|_*

    Try it:
        Beside `matrix_factorization`, where the rank is unknown.

    Cost:
        A singular value decomposition of the dense matrix in each iteration: for up to a few
        thousand users and items.

    Source:
        Mazumder, Hastie & Tibshirani 2010, Spectral regularization algorithms for learning large
        incomplete matrices, JMLR 11, equation 8 and algorithm 1

    Args:
        shrinkage: λ as a share of the largest singular value.
        iterations: most iterations; a few hundred are enough.
        centre: whose means are subtracted, after the overall mean: both, users, items or none.
        damping: number of virtual entries with deviation 0 added to each user and each item.
    """

    space = {"shrinkage": Range(0.02, 1.0, default=0.2)}
    also_called = ("nuclear_norm_minimization", "softimpute")
    badges = ("formula_exact",)
    version = 2  # 1 stopped before unknown entries had converged

    def __init__(
        self,
        shrinkage: Annotated[float, Interval(gt=0, le=1)] = 0.2,
        iterations: Count = 1000,
        centre: Centre = "both",
        damping: NotNegative = 5.0,
    ) -> None:
        super().__init__(centre, damping)
        self.shrinkage, self.iterations = shrinkage, iterations

    def width(self, known: tuple[int, int]) -> int:
        if known[0] * known[1] > LARGEST:
            raise BadInputError(
                f"soft_impute holds the whole matrix, and {known[0]} users x {known[1]} items are "
                f"more than {LARGEST} entries: matrix_factorization holds what is known"
            )
        return min(known)

    def solve(self, data: Data) -> None:
        assert data.target is not None
        entries, names = known(data.target)
        sizes = len(names.rows), len(names.columns)
        means = damped(entries, sizes, self.centre, self.damping)
        left, unit = centred(entries, means)
        places = left.rows * sizes[1] + left.columns
        sums, counts = (
            value.new_zeros(sizes[0] * sizes[1]).index_add_(0, places, value).reshape(sizes)
            for value in (left.values, torch.ones_like(left.values))
        )
        matrix = sums / counts.clamp_min(1)
        lam = self.shrinkage * float(torch.linalg.matrix_norm(matrix, 2))
        rows, values, columns = completed(matrix, counts > 0, lam, self.iterations)
        self.keep(names, means, unit * rows * values, columns.T)
