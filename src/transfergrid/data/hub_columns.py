"""Columns of Hugging Face datasets: found by name or kind, and read as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transfergrid.data.tables.table_labels import as_text
from transfergrid.records.errors import BadInputError, did_you_mean


def texts_of(split: Any, spelled: str, name: str) -> list[str | None]:
    """Return a column of groups as text; no row may be empty.

    Args:
        split: of a dataset.
        spelled: the column's name.
        name: of the split, for errors.

    Raises:
        BadInputError: there is no such column, or a row of it is empty.
    """
    column = known_column(spelled, split.features, name)
    found = [as_text(value) for value in split[column]]
    if None in found:
        raise BadInputError(f"a row of {name} has nothing in column {column!r}")
    return found


def label_text(value: Any, names: Sequence[str] | None) -> str | None:
    """Return a label as text; None without a label, for which class labels have -1."""
    if names is None or value is None:
        return as_text(value)
    return names[value] if 0 <= value < len(names) else None


def known_column(column: str, features: Any, where: str) -> str:
    """Return the column's name unchanged if there is such a column; `where` is for the message.

    Raises:
        BadInputError: there is no such column.
    """
    if column not in features:
        raise BadInputError(f"{where} has no column {column!r}{did_you_mean(column, features)}")
    return column


def only_column(kind: str, found: Sequence[str], features: Any) -> str:
    """Return the only column of a kind.

    Args:
        kind: "text" or "image", for the message.
        found: the columns of this kind.
        features: all columns, for the message.

    Raises:
        BadInputError: there are several, or none.
    """
    if len(found) != 1:
        several = f"several columns of {kind}s ({', '.join(found)})" if found else f"no {kind}s"
        told = f"it has {several}: give target.{kind}"
        raise BadInputError(f"{told}; its columns are {', '.join(features)}")
    return found[0]
