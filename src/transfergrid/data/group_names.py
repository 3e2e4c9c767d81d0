"""One name for each group (patient, speaker, author), so that no group is in both splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from transfergrid.records.arguments import checked
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.spellings import alike, is_missing, listed, near, same, shown

Alike = Literal["refuse", "merge", "keep"]
"""What to do with names that differ only slightly."""
MANY = 10
"""Least number of rows for a remark that every row is a group of its own."""


@checked
def named_once(groups: Sequence[str], column: str, mode: Alike) -> tuple[list[str], list[str]]:
    """Return each example's group under one name per group, and remarks on what was merged.

    Names that look the same, or are one whole number in two spellings (7 and 7.0), are one group.
    If they really are two, merging only restricts the splits; if they are one, keeping them apart
    would spoil the result. Whether names that differ in case, leading zeros or separators (P7 and
    p7, 007 and 7) are one group is for the user to decide.

    Args:
        groups: of each example, as in the table.
        column: of the groups, for errors.
        mode: for such doubtful names: "refuse" them, "merge" them, or "keep" them apart.

    Raises:
        BadInputError: names are doubtful, and the mode is "refuse".
    """
    name_of, told = _joined(groups, same), []
    if name_of:
        told.append(_told(alike(groups, same), column, "look the same or are one number"))
    once = [name_of.get(group, group) for group in groups]
    doubtful = alike(once, near)
    if doubtful and mode == "refuse":
        raise BadInputError(
            f"groups of {column!r} that may be one: {listed(doubtful)}; write each in one way, or "
            "give target.alike_groups=merge (they are one group each) or keep (they are not)"
        )
    if doubtful and mode == "merge":
        told.append(_told(doubtful, column, "are near"))
        name_of = _joined(once, near)
        once = [name_of.get(group, group) for group in once]
    return once, told + _missing(once, column)


def _joined(groups: Sequence[str], key: Callable[[str], str]) -> dict[str, str]:
    """Map names to the plainest name with the same key, where that is another name."""
    sets = alike(groups, key)
    return {name: spelled[0] for spelled in sets for name in spelled[1:]}


def _told(sets: Sequence[Sequence[str]], column: str, why: str) -> str:
    return f"groups of {column!r} {listed(sets)} {why}, and are taken for one group each"


def _missing(groups: Sequence[str], column: str) -> list[str]:
    """Return a remark on each group whose name looks like a missing value."""
    return [
        f"group {shown(name)} of {column!r} looks like a missing value: its "
        f"{groups.count(name)} rows stay together as if they were one group"
        for name in sorted(filter(is_missing, set(groups)))
        if groups.count(name) > 1
    ]


def alone(groups: Sequence[str], column: str) -> list[str]:
    """Return a remark if every example is a group of its own."""
    if len(set(groups)) < len(groups) or len(groups) < MANY:
        return []
    return [f"every row is a group of its own in {column!r}: it keeps nothing together"]
