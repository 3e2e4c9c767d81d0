"""Splits that are chosen by what the examples hold, and groups that no split may cut apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.errors import BadInputError

NAMED = 3
"""How many of many things an error message names."""


def share_of_each_class(keys: Sequence[Any], classes: Sequence[str], share: float) -> list[bool]:
    """Choose a share of each class: the examples whose keys come first.

    With keys that are made from the examples' contents, the choice does not depend on where they
    lie, how they are named or listed, or on the other classes. At least one example of a class is
    chosen and one is not, if it has two.

    Args:
        keys: what examples are ordered by, one each.
        classes: the class of each.
        share: between 0 and 1.
    """
    members: dict[str, list[int]] = {}
    for i, name in enumerate(classes):
        members.setdefault(name, []).append(i)
    chosen = [False] * len(classes)
    for rows in members.values():
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        for i in sorted(rows, key=lambda i: keys[i])[:count]:
            chosen[i] = True
    return chosen


def share_of_groups(groups: Sequence[str], classes: Sequence[str], share: float) -> list[bool]:
    """Choose whole groups that hold about this share of each class.

    Groups are gone through in an order that only their names settle; one is taken if that brings
    the counts of the classes nearer to the share (squared distance) and leaves some of every class
    behind.

    Returns:
        Of each example, whether it was chosen.

    Raises:
        BadInputError: no group can be spared.
    """
    names = {name: i for i, name in enumerate(sorted(set(classes)))}
    counts = {group: np.zeros(len(names)) for group in sorted(set(groups), key=_name_hash)}
    for group, name in zip(groups, classes, strict=True):
        counts[group][names[name]] += 1
    total = np.sum(list(counts.values()), axis=0)
    taken, chosen = np.zeros(len(names)), frozenset[str]()
    spare = [g for g, count in counts.items() if len(counts) > 1 and np.all(total - count > 0)]
    for group in spare:
        more = taken + counts[group]
        nearer = _distance(more, share * total) < _distance(taken, share * total)
        if nearer and np.all(total - more > 0):
            taken, chosen = more, chosen | {group}
    if not chosen and spare:  # all are larger than twice the share: take the smallest
        chosen = frozenset([min(spare, key=lambda group: float(counts[group].sum()))])
    if not chosen:
        told = "there is only one group" if len(counts) < 2 else "each is all there is of a class"
        raise BadInputError(f"no group can be put aside to test on: {told}")
    return [group in chosen for group in groups]


def _distance(counts: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    return float(np.sum((counts - wanted) ** 2))


def _name_hash(group: str) -> str:
    return sha256(group.encode()).hexdigest()


def check_groups(groups: Sequence[str], is_test: Sequence[bool], column: str) -> None:
    """Raise unless no group stands on both sides and the pool has two at least.

    Raises:
        BadInputError: the message names the groups and how many they are.
    """
    test = {group for group, sealed in zip(groups, is_test, strict=True) if sealed}
    pool = {group for group, sealed in zip(groups, is_test, strict=True) if not sealed}
    both = sorted(pool & test)
    if both:
        some = f"{len(both)} group{'s' if len(both) > 1 else ''} of {column!r}"
        raise BadInputError(
            f"{some} stand in both the pool and test: {named(both)}; split by whole groups, as in "
            "one file with target.test_split=0.2"
        )
    if len(pool) < 2:
        raise BadInputError(
            f"the pool has only one group of {column!r}: {named(sorted(pool))}; at least 2 are "
            "needed to train and validate on different ones"
        )


def named(things: Sequence[Hashable]) -> str:
    """Return the first few of many things, separated by commas."""
    return ", ".join(map(str, things[:NAMED])) + (", ..." if len(things) > NAMED else "")


def copies(pool: Sequence[Hashable], test: Sequence[Hashable]) -> int:
    """Count the things in `test` that are also in `pool`."""
    known = Counter(pool)
    return sum(thing in known for thing in test)
