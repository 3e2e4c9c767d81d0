"""Joint factors of the target's and a source's ratings, which share users or items."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from transfergrid.strategies import (
    BadInputError,
    Baselines,
    Count,
    Data,
    Needs,
    NotNegative,
    Phase,
    Positive,
    Range,
    Sizes,
    StreamName,
)
from transfergrid.strategies.matrices.alternating import Block
from transfergrid.strategies.matrices.known_entries import (
    Centre,
    Entries,
    Names,
    centred,
    damped,
    known,
    place,
    read,
)
from transfergrid.strategies.matrices.matrix_factorization import (
    PENALTY,
    RANK,
    MatrixFactorization,
)

SAME = replace(PENALTY, as_baseline=True)


class CollectiveFactorization(MatrixFactorization):
    """Collective matrix factorization: whoever is in both matrices has the same factors in both.

    Users (or items) are matched by name. Each matrix has its own means and its own standard
    deviation, of training entries alone, so that clicks can be combined with stars. At α = 0 the
    source is not used: it is `matrix_factorization` to the last bit. Users that only the source has
    help to determine its items' factors, and the target knows them by their factors.

    Formula:
        (1 - α) sum over the target's entries of (y - u · z)² + α sum over the source's of
        (x - u · v)² + λ (sum |u|² + sum |z|² + sum |v|²), of centred values over their deviation

    Try it:
        With few ratings in the target, and a denser matrix of the same users or items.

    Cost:
        That of `matrix_factorization` for all entries of both.

    Source:
        Singh & Gordon 2008, Relational learning via collective matrix factorization, KDD,
        section 4, squared loss

    Args:
        alpha: α, the weight of the source's entries.
        shares: what both matrices have in common, by name: users or items.
        rank: length of the factors.
        regularisation: λ.
        by_count: whether λ is multiplied by the weighted number of ratings of each user and item.
        sweeps: number of alternating sweeps.
        centre: whose means are subtracted, after the overall mean: both, users, items or none.
        damping: number of virtual entries with deviation 0 added to each user and each item.
    """

    needs = Needs(source="domain", domains=1, steps=False, tasks=("completion",))
    baselines = Baselines(labelled="matrix_factorization", exploratory=["rating_means"])
    space = {
        "alpha": Range(0.05, 0.95, log=False, default=0.5),
        "regularisation": SAME,
        "rank": replace(RANK, as_baseline=True),
    }
    transfers = "relations"
    also_called = ("collective_mf", "collective_matrix_factorization", "cmf")
    badges = ("formula_exact",)

    def __init__(
        self,
        alpha: Annotated[float, Interval(ge=0, lt=1)] = 0.5,
        shares: Literal["users", "items"] = "users",
        rank: Count = 5,
        regularisation: Positive = 2.0,
        by_count: bool = False,
        sweeps: Count = 30,
        centre: Centre = "both",
        damping: NotNegative = 5.0,
    ) -> None:
        super().__init__(rank, regularisation, by_count, sweeps, centre, damping)
        self.alpha, self.shares = alpha, shares

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.scaffold.register_buffer("in_common", torch.zeros((), dtype=torch.int64))

    def counts(self, sizes: Sizes) -> tuple[int, int]:
        if not self.alpha:
            return sizes.names
        (rows, columns), (all_rows, all_columns) = sizes.names, sizes.all_names
        return (all_rows, columns) if self.shares == "users" else (rows, all_columns)

    def phases(self) -> list[Phase]:
        reads: list[StreamName] = ["target", "source"] if self.alpha else ["target"]
        return [Phase("solve", reads=reads, before=self.solve)]

    def solve(self, data: Data) -> None:
        if not self.alpha:
            super().solve(data)
            return
        assert data.target is not None
        axis = 0 if self.shares == "users" else 1
        theirs, their_names = known(data.source[0])
        ours = read(data.target)[0][:, axis].unique()  # type: ignore[no-untyped-call]
        self._look(ours, their_names[axis])
        none = theirs.rows.new_zeros(0)
        further = [none, none]
        further[axis] = their_names[axis]
        entries, names = known(data.target, Names(*further))
        sizes = len(their_names.rows), len(their_names.columns)
        theirs, _ = centred(theirs, damped(theirs, sizes, self.centre, self.damping))
        theirs = theirs.turned if axis else theirs
        rows = place(their_names[axis], names[axis])[0]
        beside = Block(
            Entries(rows[theirs.rows], theirs.columns, theirs.values),
            sizes[1 - axis],
            "source",
            self.alpha,
        )
        self.factorise(entries, names, beside, turned=bool(axis))

    def _look(self, ours: Tensor, theirs: Tensor) -> None:
        """Count the users or items that both matrices have in common.

        Raises:
            BadInputError: there are none.
        """
        shared = torch.isin(ours, theirs).sum()
        if not shared:
            other = "items" if self.shares == "users" else "users"
            raise BadInputError(
                f"source and target have no {self.shares} in common, by name: is it "
                f"strategy.shares={other}, or are they written in another way?"
            )
        self.scaffold.get_buffer("in_common").copy_(shared)

    def tells(self) -> dict[str, Any]:
        shared = int(self.scaffold.get_buffer("in_common"))
        return {**super().tells(), f"{self.shares}_in_common": shared}
