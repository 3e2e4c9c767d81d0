"""The rows of a table, for all kinds of inputs, in an order that depends on their contents only."""

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
"""Key, in notes, of a list of remarks for the user to read before cells run."""


class Input(NamedTuple):
    """The input of a row."""

    value: Any
    """The input itself, or the place to read it from."""
    content: tuple[str, ...]
    """Canonical text of all that can change a score."""


class Row(NamedTuple):
    """A row of a table; its group and its cluster are None without a column of them."""

    split: str
    input: Input
    label: str
    group: str | None
    cluster: str | None = None

    @property
    def whole(self) -> str | None:
        """The unit that no split may divide: the cluster, or the group without clusters."""
        return self.group if self.cluster is None else self.cluster

    def key(self) -> tuple[str, ...]:
        """Return the sort key of the canonical order: first of all a hash of the input.

        So neither the names of classes nor a column of groups changes which examples are drawn.
        """
        told = json.dumps(self.input.content, ensure_ascii=True)
        key = sha256(told.encode()).hexdigest(), self.label, self.group or ""
        return key if self.cluster is None else (*key, self.cluster)


@dataclass(frozen=True)
class Rows:
    """A table's rows in canonical order, divided into splits."""

    pool: list[Row]
    test: list[Row]
    classes: tuple[str, ...]
    """Names in label order; empty if the labels are numbers."""
    notes: dict[str, Any]

    def content(self) -> str:
        """Return a hash, 16 hex digits, of the rows, their splits and the classes."""
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
    """Raise `BadInputError` unless the labels can be classes; `column` is for the message."""
    if not rows:
        raise BadInputError("there are no rows left")
    labels = {row.label for row in rows}
    if len(labels) < 2:
        raise BadInputError(f"there is only one class: {min(labels)}")
    if len(labels) == len(rows) > 2:
        raise BadInputError(f"no two rows have the same label: is {column!r} the right column?")


def check_classes(pool: Sequence[Row], test: Sequence[Row]) -> None:
    """Raise `BadInputError` unless both splits have rows, and all test classes are in the pool."""
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
        rows: of all splits in use.
        choice: which splits are the pool, or which share of the rows to test on.
        names: the classes' names in order, if given.
        label: the column of labels, for errors.
        whole_column: the column of units that no split may divide, if there is one.

    Raises:
        BadInputError: the labels are no classes, or the splits or groups are invalid.
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
    """Return the rows of pool and test split in canonical order; their labels are numbers.

    A share to test on is stratified by the size of the numbers, unless it consists of groups.

    Args:
        rows: of all splits in use, with labels as `numbers.spelled` writes them.
        choice: which splits are the pool, or which share of the rows to test on.
        columns: the columns of labels.
        whole_column: the column of units that no split may divide, if there is one.
        metric: the one that decides.

    Raises:
        BadInputError: labels cannot be learned or scored, or the splits or groups are invalid.
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
    """Return rows in which each group and cluster has a single name, and remarks on the names.

    Args:
        rows: of all splits in use.
        groups: the column of groups, if there is one.
        clusters: the column of clusters, if there is one.
        mode: see `group_names.named_once`.

    Raises:
        BadInputError: see `group_names.named_once`.
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
    """Return for each row whether it is a test row; a share is taken of each class."""
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
    """Return as notes the number of groups, and of clusters, in each split, if there are any."""
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
    """Return the group (n,) of each row; None without a column of groups."""
    told = [row.group for row in rows]
    return None if None in told else np.array(told, dtype=np.str_)


Clusters = Column | Literal[False] | None
"""The column of clusters, whose examples depend on each other; False if all examples are
independent, whatever their groups; None if groups, where there are any, are the clusters."""


def whole_column(clusters: Clusters, groups: str | None) -> str | None:
    """Return the column of units that no split may divide: clusters, or groups; None without."""
    if clusters is None:
        return groups
    return None if clusters is False else clusters


def clusters_of(rows: Sequence[Row], clusters: Clusters) -> NDArray[np.str_] | None:
    """Return the cluster (n,) of each row, or None if groups, if any, are the clusters.

    Independent rows are a cluster each.
    """
    if clusters is False:
        return np.arange(len(rows)).astype(np.str_)
    return None if clusters is None else np.array([row.cluster for row in rows], dtype=np.str_)
