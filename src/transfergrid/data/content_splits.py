"""Splits that depend on the examples' contents only, and groups that no split may divide."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.errors import BadInputError

NAMED = 3
"""How many items of a long list an error message names."""
LONGEST = 120
"""How many characters of each item it shows."""
KEPT_GROUPS = 2
"""Least number of groups in the pool, so that training and validation can have different ones."""


def share_of_each_class(keys: Sequence[Any], classes: Sequence[str], share: float) -> list[bool]:
    """Choose a share of each class: the examples with the smallest keys.

    If keys are made from the examples' contents, the choice does not depend on their place, name
    or order, or on other classes. Of a class with two or more examples, at least one is chosen and
    at least one is not.

    Args:
        keys: the sort key of each example.
        classes: the class of each example.
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

    Groups are visited in an order that depends only on their names. A group is chosen if that
    brings the counts of the classes nearer to the share (squared distance) and leaves some
    examples of every class. If none is, the smallest possible group is chosen.

    Returns:
        For each example, whether it was chosen.

    Raises:
        BadInputError: there are too few groups, or no group without which every class remains.
    """
    names = {name: i for i, name in enumerate(sorted(set(classes)))}
    counts = {group: np.zeros(len(names)) for group in sorted(set(groups), key=_name_hash)}
    for group, name in zip(groups, classes, strict=True):
        counts[group][names[name]] += 1
    total = np.sum(list(counts.values()), axis=0)
    spare = [group for group, count in counts.items() if np.all(total - count > 0)]
    _check_spare(len(counts), len(spare))
    taken, chosen = np.zeros(len(names)), set[str]()
    for group in spare:
        more = taken + counts[group]
        nearer = _distance(more, share * total) < _distance(taken, share * total)
        enough = np.all(total - more > 0) and len(chosen) < len(counts) - KEPT_GROUPS
        if nearer and enough:
            taken = more
            chosen.add(group)
    if not chosen:  # all are larger than twice the share: take the smallest
        chosen.add(min(spare, key=lambda group: float(counts[group].sum())))
    return [group in chosen for group in groups]


def _check_spare(n_groups: int, n_spare: int) -> None:
    least = KEPT_GROUPS + 1
    if n_groups < least:
        only = "is only one group" if n_groups == 1 else f"are only {n_groups} groups"
        raise BadInputError(f"there {only}: {least} are needed, one of them to test on")
    if not n_spare:
        raise BadInputError("no group can be put aside to test on: each is all there is of a class")


def _distance(counts: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    return float(np.sum((counts - wanted) ** 2))


def _name_hash(group: str) -> str:
    return sha256(group.encode()).hexdigest()


def check_groups(groups: Sequence[str], is_test: Sequence[bool], column: str) -> None:
    """Raise unless no group is in both splits and the pool has at least two groups.

    Raises:
        BadInputError: the message names the groups and says how many there are.
    """
    test = {group for group, sealed in zip(groups, is_test, strict=True) if sealed}
    pool = {group for group, sealed in zip(groups, is_test, strict=True) if not sealed}
    both = sorted(pool & test)
    if both:
        some = f"1 group of {column!r} stands"
        if len(both) > 1:
            some = f"{len(both)} groups of {column!r} stand"
        raise BadInputError(
            f"{some} in both the pool and test: {named(both)}; split by whole groups, as in one "
            "file with target.test_split=0.2"
        )
    if len(pool) < KEPT_GROUPS:
        raise BadInputError(
            f"the pool has only one group of {column!r}: {named(sorted(pool))}; "
            f"{KEPT_GROUPS} are needed to train and validate on different ones"
        )


def named(things: Sequence[Hashable]) -> str:
    """Return the first `NAMED` items of a list as text, separated by commas."""
    first = [
        name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name in map(str, things[:NAMED])
    ]
    return ", ".join(first) + (", ..." if len(things) > NAMED else "")
