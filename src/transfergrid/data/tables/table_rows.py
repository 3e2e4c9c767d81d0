"""The rows of a table, whatever they hold, in an order that only their contents settle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.content_splits import (
    check_groups,
    named,
    share_of_each_class,
    share_of_groups,
)
from transfergrid.data.examples import Labels
from transfergrid.data.group_names import Alike, alone, named_once
from transfergrid.data.numbers import check_numbers, first_of, rows_of, share_parts, tenths
from transfergrid.data.tables.table_labels import class_order
from transfergrid.data.tables.table_layout import Choice
from transfergrid.records.arguments import Column
from transfergrid.records.errors import BadInputError

REMARKS = "remarks"
"""The note on what is odd about the names of groups: a line each, to be read before cells run."""


class Input(NamedTuple):
    """What a row holds beside its label."""

    value: Any
    """What is read, or where."""
    content: tuple[str, ...]
    """All that can move a score."""


class Row(NamedTuple):
    """A row of a table; its group and its cluster are None where no column tells them."""

    split: str
    input: Input
    label: str
    group: str | None
    cluster: str | None = None

    @property
    def whole(self) -> str | None:
        """What no split may cut apart: the cluster, or the group where no column of these is."""
        return self.group if self.cluster is None else self.cluster

    def key(self) -> tuple[str, ...]:
        """Return what rows are ordered by: a hash of their inputs first of all.

        So neither the classes' names nor a column of groups moves which examples are drawn.
        """
        told = json.dumps(self.input.content, ensure_ascii=True)
        key = sha256(told.encode()).hexdigest(), self.label, self.group or ""
        return key if self.cluster is None else (*key, self.cluster)


@dataclass(frozen=True)
class Rows:
    """A table's rows in canonical order, with their splits settled."""

    pool: list[Row]
    test: list[Row]
    classes: tuple[str, ...]
    """None where the labels are numbers."""
    notes: dict[str, Any]

    def content(self) -> str:
        """Return 16 hex digits of the rows, their splits and the classes."""
        digest = sha256(json.dumps(self.classes).encode())
        for split, rows in (("pool", self.pool), ("test", self.test)):
            for row in rows:
                digest.update(json.dumps([split, *row.key()]).encode())
        return digest.hexdigest()[:16]

    def labels(self, rows: Sequence[Row]) -> Labels:
        """Return the class index (n,) of each row, or its numbers (n,) or (n, outputs)."""
        if not self.classes:
            return rows_of([row.label for row in rows])
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
    if not known:
        raise BadInputError("there are no rows to train on")
    if len(known) < 2:
        raise BadInputError(f"train has only one class: {min(known)}")
    new = sorted({row.label for row in test} - known)
    if new:
        raise BadInputError(f"test has labels that train lacks: {named(new)}")
    if not test:
        raise BadInputError("there are no rows to test on")


def settled(
    rows: Sequence[Row],
    choice: Choice,
    names: Sequence[str] | None,
    label: str,
    whole_column: str | None,
) -> tuple[list[Row], list[Row], tuple[str, ...]]:
    """Return the pool's rows and the test split's in canonical order, and the classes.

    Args:
        rows: of all splits that are used.
        choice: which splits are the pool, or which share of the rows to test on.
        names: the classes' names in order, if they were given.
        label: the column of labels, for errors.
        whole_column: the column of what no split may cut apart, if there is one.

    Raises:
        BadInputError: the labels are no classes, or the splits or groups do not fit.
    """
    classes, of = class_order([row.label for row in rows], names)
    found = sorted((row._replace(label=of[row.label]) for row in rows), key=Row.key)
    check_labels(found, label)
    is_test = _is_test(found, choice, whole_column, [row.label for row in found])
    pool = [row for row, sealed in zip(found, is_test, strict=True) if not sealed]
    test = [row for row, sealed in zip(found, is_test, strict=True) if sealed]
    check_classes(pool, test)
    return pool, test, tuple(classes)


def settled_numbers(
    rows: Sequence[Row],
    choice: Choice,
    columns: Sequence[str],
    whole_column: str | None,
    metric: str,
) -> tuple[list[Row], list[Row]]:
    """Return the pool's rows and the test split's in canonical order, of labels that are numbers.

    A share to test on is taken from small, middle and large numbers alike.

    Args:
        rows: of all splits that are used, their labels as `numbers.spelled` writes them.
        choice: which splits are the pool, or which share of the rows to test on.
        columns: the columns of labels.
        whole_column: the column of what no split may cut apart, if there is one.
        metric: that decides.

    Raises:
        BadInputError: there is nothing to tell apart, or the splits or groups do not fit.
    """
    found = sorted(rows, key=Row.key)
    parts = np.zeros(len(found), dtype=np.int64)
    if choice.share is not None and whole_column is None:
        first = first_of(rows_of([row.label for row in found]))
        parts = tenths(first, share_parts(len(found), choice.share))
    is_test = _is_test(found, choice, whole_column, [str(part) for part in parts])
    pool = [row for row, sealed in zip(found, is_test, strict=True) if not sealed]
    test = [row for row, sealed in zip(found, is_test, strict=True) if sealed]
    to_learn, to_test = (rows_of([row.label for row in part]) for part in (pool, test))
    check_numbers(to_learn, to_test, columns, metric)
    return pool, test


def with_groups_named_once(
    rows: Sequence[Row], groups: str | None, clusters: Clusters, mode: Alike
) -> tuple[list[Row], list[str]]:
    """Return rows whose groups and clusters have one name each, and remarks on these.

    Args:
        rows: of all splits that are used.
        groups: the column of groups, if there is one.
        clusters: the column of clusters, if there is one.
        mode: see `group_names.named_once`.

    Raises:
        BadInputError: names are near, and nobody said whether they are one.
    """
    found, remarks, whole = list(rows), list[str](), whole_column(clusters, groups)
    if groups is not None:
        names, told = named_once([str(row.group) for row in found], groups, mode)
        found = [row._replace(group=name) for row, name in zip(found, names, strict=True)]
        remarks += [*told, *(alone(names, groups) if groups == whole else ())]
    if isinstance(clusters, str):
        names, told = named_once([str(row.cluster) for row in found], clusters, mode)
        found = [row._replace(cluster=name) for row, name in zip(found, names, strict=True)]
        remarks += [*told, *alone(names, clusters)]
    return found, remarks


def _is_test(
    rows: Sequence[Row], choice: Choice, whole_column: str | None, classes: Sequence[str]
) -> list[bool]:
    """Say of each row whether it is to test on; a share is one of each class."""
    groups = [str(row.whole) for row in rows]
    if choice.share is None:
        is_test = [row.split in choice.test for row in rows]
    elif whole_column is None:
        is_test = share_of_each_class([row.key() for row in rows], classes, choice.share)
    else:
        is_test = share_of_groups(groups, classes, choice.share)
    if whole_column is not None:
        check_groups(groups, is_test, whole_column)
    return is_test


def group_counts(pool: Sequence[Row], test: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Return by note how many groups, and how many clusters, each split has, if it has any."""
    of = {
        "groups": [{row.group for row in rows} for rows in (pool, test)],
        "clusters": [{row.cluster for row in rows} for rows in (pool, test)],
    }
    return {
        name: {"pool": len(inside), "test": len(tested)}
        for name, (inside, tested) in of.items()
        if None not in inside
    }


def groups_of(rows: Sequence[Row]) -> NDArray[np.str_] | None:
    """Return the group (n,) of each row; None where no column tells it."""
    told = [row.group for row in rows]
    return None if None in told else np.array(told, dtype=np.str_)


Clusters = Column | Literal[False] | None
"""The column of what examples depend on; False where they are independent, whatever their groups;
None where groups, if there are any, stand for it."""


def whole_column(clusters: Clusters, groups: str | None) -> str | None:
    """Return the column of what no split may cut apart."""
    if clusters is None:
        return groups
    return None if clusters is False else clusters


def clusters_of(rows: Sequence[Row], clusters: Clusters) -> NDArray[np.str_] | None:
    """Return the cluster (n,) of each row; None where groups stand for them."""
    if clusters is False:
        return np.arange(len(rows)).astype(np.str_)
    return None if clusters is None else np.array([row.cluster for row in rows], dtype=np.str_)
