"""Vectors of numbers in memory, and how missing numbers are filled and columns standardised."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.examples import Examples, Labels
from transfergrid.records.errors import BadInputError

Floats = NDArray[np.float64]

Missing = Literal["refuse", "drop", "mean", "median", "zero"]
"""How to treat missing numbers; the last three replace them."""
Standardise = Literal["pool", "none"]
"""The examples from which a column's mean and standard deviation are computed."""
FILLED: tuple[Missing, ...] = ("mean", "median", "zero")
assert {*FILLED} < {*get_args(Missing)}


@dataclass(frozen=True)
class Scaling:
    """The transformation of each column: fill missing numbers, subtract the mean, divide.

    Attributes:
        columns: names of the columns, in the order of the numbers.
        fill: the replacement of a missing number, per column; None where no number is replaced.
        mean: the number to subtract, per column; None for no standardisation.
        deviation: the divisor after that, per column; None for no standardisation.
    """

    columns: tuple[str, ...]
    fill: tuple[float, ...] | None = None
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None

    @classmethod
    def fitted(
        cls,
        columns: Sequence[str],
        pool: Floats,
        missing: Missing = "refuse",
        standardise: Standardise = "pool",
    ) -> Scaling:
        """Return the scaling fitted to the pool (n, d), in which NaN is a missing number.

        The deviation is that of a population (divided by n), and 1 for a constant column.

        Raises:
            BadInputError: a column has no number in the pool, so neither mean nor median.
        """
        names = tuple(columns)
        if missing not in FILLED:
            fill = None
        elif missing == "zero":
            fill = np.zeros(len(names))
        else:
            empty = np.isnan(pool).all(axis=0)
            if empty.any():
                name = names[int(np.flatnonzero(empty)[0])]
                raise BadInputError(
                    f"column {name!r} has no number to learn from, so no {missing}: leave it out"
                )
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                fill = np.nanmean(pool, 0) if missing == "mean" else np.nanmedian(pool, 0)
        if standardise == "none":
            return cls(names, _told(fill))
        whole = pool if fill is None else np.where(np.isnan(pool), fill, pool)
        spread = whole.std(axis=0)
        alike = (whole == whole[:1]).all(axis=0)  # constant; rounding may leave a spread above 0
        return cls(names, _told(fill), _told(whole.mean(0)), _told(np.where(alike, 1.0, spread)))

    def of(self, values: Floats) -> NDArray[np.float32]:
        """Return vectors (n, d), filled and standardised: the networks' inputs."""
        found = values
        if self.fill is not None:
            found = np.where(np.isnan(found), np.array(self.fill), found)
        if self.mean is not None:
            found = (found - np.array(self.mean)) / np.array(self.deviation)
        return found.astype(np.float32)

    def kept(self) -> dict[str, Any]:
        """Return the scaling as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> Scaling:
        """Return the scaling from the output of `kept`.

        Raises:
            ValueError: these are no values that `kept` wrote.
        """
        if not isinstance(kept, dict) or {*kept} != {f.name for f in dataclasses.fields(cls)}:
            raise ValueError("these are no columns of a model of vectors")
        columns = tuple(str(name) for name in kept.pop("columns"))
        parts = {name: _told(value) for name, value in kept.items()}
        lengths = {len(part) for part in parts.values() if part is not None}
        if not lengths <= {len(columns)} or (parts["mean"] is None) != (parts["deviation"] is None):
            raise ValueError("these are no columns of a model of vectors")
        return cls(columns, **parts)


def _told(values: Any) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)


class VectorExamples(Examples):
    """Vectors with labels and, if known, groups.

    Attributes:
        values: (n, d) float64, unscaled; NaN is a missing number.
        scaling: applied to what `read` returns.
    """

    def __init__(
        self,
        values: Floats,
        labels: Labels,
        scaling: Scaling,
        groups: NDArray[np.str_] | None = None,
    ) -> None:
        """Keep values (n, d), labels (n, ...) and groups (n,) as they are."""
        if len(values) != len(labels) or (groups is not None and len(groups) != len(labels)):
            raise ValueError(
                f"{len(values)} vectors but {len(labels)} labels, or groups do not fit"
            )
        self.values, self.labels, self.scaling, self.groups = values, labels, scaling, groups
        self._read = scaling.of(values)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return vectors (len(indices), d), scaled."""
        return self._read[indices]


def raw_values(examples: Examples) -> Floats:
    """Return the unscaled vectors (n, d) of any kind of examples of vectors."""
    whole = getattr(examples, "whole", None)
    if whole is not None:  # a `Subset`
        places: NDArray[np.int64] = examples.places  # type: ignore[attr-defined]
        return raw_values(whole)[places]
    values = getattr(examples, "values", None)
    if values is None:
        values = examples.read(np.arange(len(examples), dtype=np.int64))
    return np.asarray(values, dtype=np.float64)
