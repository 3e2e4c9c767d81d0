"""Columns of datasets of the Hugging Face library, found by name or by kind, and read as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transfergrid.data.tables.table_labels import as_text
from transfergrid.records.errors import BadInputError, did_you_mean


def texts_of(split: Any, spelled: str, name: str) -> list[str | None]:
    """Return a column of groups, of which none may be empty.

    Raises:
        BadInputError: there is no such column, or it has nothing in some row.
    """
    column = known_column(spelled, split.features, name)
    found = [as_text(value) for value in split[column]]
    if None in found:
        raise BadInputError(f"a row of {name} has nothing in column {column!r}")
    return found


def label_text(value: Any, names: Sequence[str] | None) -> str | None:
    """Return a label as text; None where there is none, which class labels say by -1."""
    if names is None or value is None:
        return as_text(value)
    return names[value] if 0 <= value < len(names) else None


def known_column(column: str, features: Any, where: str) -> str:
    """Return the column, if it is there.

    Raises:
        BadInputError: it is not.
    """
    if column not in features:
        raise BadInputError(f"{where} has no column {column!r}{did_you_mean(column, features)}")
    return column


def only_column(kind: str, found: Sequence[str], features: Any) -> str:
    """Return the one column of a kind.

    Raises:
        BadInputError: there are several, or none.
    """
    if len(found) != 1:
        several = f"several columns of {kind}s ({', '.join(found)})" if found else f"no {kind}s"
        told = f"it has {several}: give target.{kind}"
        raise BadInputError(f"{told}; its columns are {', '.join(features)}")
    return found[0]
