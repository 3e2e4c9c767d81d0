"""The rows of a table, whatever they hold, in an order that only their contents settle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.content_splits import named
from transfergrid.errors import BadInputError


class Input(NamedTuple):
    """What a row holds beside its label."""

    value: Any
    """What is read, or where."""
    content: tuple[str, ...]
    """All that can move a score."""


class Row(NamedTuple):
    """A row of a table; its group is None where no column tells it."""

    split: str
    input: Input
    label: str
    group: str | None

    def key(self) -> tuple[str, str, str]:
        """Return what rows are ordered by: a hash of their inputs first of all.

        So neither the classes' names nor a column of groups moves which examples are drawn.
        """
        told = json.dumps(self.input.content, ensure_ascii=True)
        return sha256(told.encode()).hexdigest(), self.label, self.group or ""


@dataclass(frozen=True)
class Rows:
    """A table's rows in canonical order, with their splits settled."""

    pool: list[Row]
    test: list[Row]
    classes: tuple[str, ...]
    notes: dict[str, Any]

    def content(self) -> str:
        """Return 16 hex digits of the rows, their splits and the classes."""
        digest = sha256(json.dumps(self.classes).encode())
        for split, rows in (("pool", self.pool), ("test", self.test)):
            for row in rows:
                digest.update(json.dumps([split, *row.key()]).encode())
        return digest.hexdigest()[:16]

    def labels(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        """Return the class index (n,) of each row."""
        index = {name: i for i, name in enumerate(self.classes)}
        return np.array([index[row.label] for row in rows], dtype=np.int64)


def check_labels(rows: Sequence[Row], column: str) -> None:
    """Raise `BadInputError` unless the labels (in that column) can be classes."""
    if not rows:
        raise BadInputError("there are no rows left")
    labels = {row.label for row in rows}
    if len(labels) < 2:
        raise BadInputError(f"there is only one class: {min(labels)}")
    if len(labels) == len(rows) > 2:
        raise BadInputError(f"no two rows have the same label: is {column!r} the right column?")


def check_classes(pool: Sequence[Row], test: Sequence[Row]) -> None:
    """Raise `BadInputError` unless both splits have rows, and test no class of its own."""
    known = {row.label for row in pool}
    if len(known) < 2:
        raise BadInputError(f"train has only one class: {min(known)}")
    new = sorted({row.label for row in test} - known)
    if new:
        raise BadInputError(f"test has labels that train lacks: {named(new)}")
    if not test:
        raise BadInputError("there are no rows to test on")
