"""Vectors of numbers that lie in memory, and how they are brought to one scale."""

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
"""What is done with numbers that are missing; the last three put something in their place."""
Standardise = Literal["pool", "none"]
"""What a column's mean and deviation are taken from."""
FILLED: tuple[Missing, ...] = ("mean", "median", "zero")
assert {*FILLED} < {*get_args(Missing)}


@dataclass(frozen=True)
class Scaling:
    """What is done to each column: a missing number is replaced, then all are shifted and divided.

    Attributes:
        columns: their names, in the order of the numbers.
        fill: what stands for a missing number; None where none may be missing.
        mean: what is taken off.
        deviation: what is divided by then.
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
        """Return what the examples to learn from (n, d) say; a missing number is NaN.

        The deviation is that of a population, and 1 for a column of one value.

        Raises:
            BadInputError: a column has no number to learn from.
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
        alike = (whole == whole[:1]).all(axis=0)  # of which rounding makes no zero
        return cls(names, _told(fill), _told(whole.mean(0)), _told(np.where(alike, 1.0, spread)))

    def of(self, values: Floats) -> NDArray[np.float32]:
        """Return vectors (n, d) as networks get them."""
        found = values
        if self.fill is not None:
            found = np.where(np.isnan(found), np.array(self.fill), found)
        if self.mean is not None:
            found = (found - np.array(self.mean)) / np.array(self.deviation)
        return found.astype(np.float32)

    def kept(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> Scaling:
        """Return what `kept` wrote.

        Raises:
            ValueError: it did not.
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
    """Vectors with labels and, where they are known, the groups that they come from.

    Attributes:
        values: (n, d) float64 as they were given; NaN is a missing number.
        scaling: of what is read.
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
    """Return vectors (n, d) as they were given, of whichever kind of examples of vectors."""
    whole = getattr(examples, "whole", None)
    if whole is not None:  # some of them
        places: NDArray[np.int64] = examples.places  # type: ignore[attr-defined]
        return raw_values(whole)[places]
    values = getattr(examples, "values", None)
    if values is None:
        values = examples.read(np.arange(len(examples), dtype=np.int64))
    return np.asarray(values, dtype=np.float64)
