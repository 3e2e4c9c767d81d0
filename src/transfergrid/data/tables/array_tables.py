"""A NumPy archive as a table: each array is a column, or as many columns as it is wide."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from transfergrid.data.arrays import Archive
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.tables import Table

ENDING = ".npz"
SPLIT = "split"
"""Name of the column that says which split a row is from, if the arrays come in splits."""
_PART = re.compile(r"(.+)_(train|val|test)")


def has_parts(file: Path, name: str) -> bool:
    """Return whether the arrays of an archive come in splits, such as `x_train` and `x_test`.

    Raises:
        BadInputError: see `read_arrays`.
    """
    return len(_keys_by_part(_opened(file, name), name)) > 1


def read_arrays(file: Path, name: str) -> Table:
    """Read an archive, whose arrays must have the same number of rows; `name` is for errors.

    An array (n,) is a column with its name; an array x of shape (n, d) is the columns x0, x1, ...
    `x_train`, `x_val` and `x_test` are splits of x, which a further column `split` names.

    Raises:
        BadInputError: it cannot be read, or its arrays are no columns of one table.
    """
    archive = _opened(file, name)
    columns: dict[str, list[Any]] = {}
    n = 0
    parts = _keys_by_part(archive, name)
    for part, keys in parts.items():
        own = {}
        for key, array in keys.items():
            own.update(_columns(name, array, _read(archive, array, name), key))
        lengths = {column: len(values) for column, values in own.items()}
        if len({*lengths.values()}) > 1:
            (one, rows), (other, more) = _unlike(lengths)
            raise BadInputError(f"{name}: {one} has {rows} rows, and {other} has {more}")
        if columns and {*own} != {*columns} - {SPLIT}:
            odd = min({*own} ^ ({*columns} - {SPLIT}))
            raise BadInputError(f"{name}: not all of its parts have {odd}")
        size = next(iter(lengths.values()))
        n += size
        if len(parts) > 1:
            own[SPLIT] = [part] * size
        for column, values in own.items():
            columns.setdefault(column, []).extend(values)
    if not n:
        raise BadInputError(f"{name} has no rows")
    return Table(file, name, columns, range(1, n + 1), "row")


def _opened(file: Path, name: str) -> Archive:
    try:
        return Archive(file)
    except OSError as error:
        raise BadInputError(f"cannot read {name}: {error.strerror or error}") from error
    except BadInputError as error:
        raise BadInputError(f"{name} {error}") from error


def _read(archive: Archive, key: str, name: str) -> NDArray[Any]:
    try:
        return archive.read(key)
    except BadInputError as error:
        raise BadInputError(f"{name}: {error}") from error


def _keys_by_part(archive: Archive, name: str) -> dict[str, dict[str, str]]:
    """Return the arrays' names by split and by column: {"train": {"x": "x_train"}}.

    The split is "" for arrays without one.
    """
    found: dict[str, dict[str, str]] = {}
    for key in sorted(archive.keys):
        told = _PART.fullmatch(key)
        column, part = told.groups() if told else (key, "")
        found.setdefault(part, {})[column] = key
    if "" in found and len(found) > 1:
        whole, part = (next(iter(found[p].values())) for p in ("", max(found)))
        raise BadInputError(
            f"{name} holds {part}, which is of one split, and {whole}, which is not"
        )
    return dict(sorted(found.items(), key=lambda item: ("train", "val", "test", "").index(item[0])))


def _columns(name: str, key: str, array: NDArray[Any], column: str) -> dict[str, list[Any]]:
    if array.ndim == 1:
        return {column: array.tolist()}
    if array.ndim == 2:
        return {f"{column}{i}": array[:, i].tolist() for i in range(array.shape[1])}
    raise BadInputError(f"{name}: {key} is no column and no table: its shape is {array.shape}")


def _unlike(lengths: dict[str, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    first, *others = lengths.items()
    return first, next(other for other in others if other[1] != first[1])
