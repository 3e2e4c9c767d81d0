"""Restricting a domain to some of its classes, given by name and kept in the domain's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import numpy as np
from annotated_types import MinLen, doc
from numpy.typing import NDArray

from transfergrid.records.errors import BadInputError, check_known

Kept = Annotated[
    Sequence[str | int | float | bool], MinLen(2), doc("a list of two classes or more")
]
"""Names of classes as typed by the user: 7 is the class "7"."""


def places_of(only: Kept, classes: Sequence[str]) -> list[int]:
    """Return the indices of the kept classes, in the domain's order.

    Args:
        only: names of the kept classes.
        classes: names of all classes; empty if labels are numbers.

    Raises:
        BadInputError: a name is no class, or there are fewer than two, or labels are numbers.
    """
    names = {str(name).lower() if isinstance(name, bool) else str(name) for name in only}
    if not classes:
        raise BadInputError(f"only={list(only)} keeps classes, and these labels are numbers")
    for name in sorted(names):
        check_known("class in only", name, classes)
    if len(names) < 2:
        raise BadInputError(f"only={list(only)} is one class: keep two or more")
    return [place for place, name in enumerate(classes) if name in names]


def among(
    kept: Sequence[int], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows whose label is kept, and their labels as indices into the kept classes.

    Args:
        kept: indices of the kept classes, in the domain's order.
        labels: (n,) indices into all classes.
    """
    places = np.flatnonzero(np.isin(labels, kept))
    return places, np.searchsorted(np.asarray(kept, dtype=np.int64), labels[places])


def of_kept(told: Callable[[Any], Any], cut: Callable[[Kept, Any], Any]) -> Callable[[Any], Any]:
    """Wrap a domain's method so that `cut` restricts its result to the classes in `only`."""

    @wraps(told)
    def of_some(self: Any) -> Any:
        return told(self) if self.only is None else cut(self.only, told(self.whole))

    return of_some


def kept_names(told: Any) -> property:
    """Wrap a domain's property `classes` so that it returns only the classes in `only`."""

    def classes(self: Any) -> tuple[str, ...]:
        if self.only is None:
            return tuple(told.__get__(self, type(self)))
        names = told.__get__(self.whole, type(self))
        return tuple(names[place] for place in places_of(self.only, names))

    return property(classes, doc=told.__doc__)
