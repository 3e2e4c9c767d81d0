"""Which files of a table, or which values of a column, are its pool and its test split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transfergrid.data.images.folder_layout import TEST, TRAIN, VALIDATION
from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.records.files.fingerprints import existing
from transfergrid.records.files.spellings import near
from transfergrid.records.files.tables import is_table

CLASS_NAMES = "classes.json"
"""A file beside a folder's tables that names the labels 0, 1, ..."""
_SHARD = re.compile(r"-\d+-of-\d+$")


@dataclass(frozen=True)
class Part:
    """One file of a table.

    Attributes:
        split: name of its split, such as "train" or "dev".
        file: its path.
        name: its name in errors.
    """

    split: str
    file: Path
    name: str


@dataclass(frozen=True)
class Choice:
    """Which splits form the pool, and which is the test split; or the share to test on."""

    pool: frozenset[str]
    test: frozenset[str]
    share: float | None
    ignored: tuple[str, ...] = ()


def find_parts(spelled: str, test_file: str | None, validation_file: str | None) -> list[Part]:
    """Return the files of a table that is given as one file, several, or a folder of splits.

    Raises:
        BadInputError: a file does not exist, or a split is given twice.
    """
    root = existing(spelled)
    parts = _in_folder(spelled, root) if root.is_dir() else [Part("train", root, spelled)]
    given = (("test", TEST, test_file), ("validation", VALIDATION, validation_file))
    for split, names, file in given:
        if file is None:
            continue
        for part in parts:
            if part.split.lower() in names:
                raise BadInputError(
                    f"{part.name} is there already: leave out target.{split}_file={file}"
                )
        parts.append(Part(split, existing(file), file))
    return parts


def _in_folder(spelled: str, root: Path) -> list[Part]:
    """Return the tables of a folder; the split is the file's name without a shard's number."""
    names = sorted(
        entry.name
        for entry in root.iterdir()
        if is_table(entry.name) and entry.name != CLASS_NAMES and not entry.name.startswith(".")
    )
    if not names:
        raise BadInputError(f"{spelled} is a folder without tables such as train.csv in it")
    parts = [
        Part(_SHARD.sub("", Path(n).stem), root / n, f"{spelled.rstrip('/')}/{n}") for n in names
    ]
    kinds: dict[str, Part] = {}
    for part in parts:
        first = kinds.setdefault(part.split, part)
        if first.file.suffix != part.file.suffix:
            both = f"{first.file.name} and {part.file.name}"
            raise BadInputError(f"{spelled} has {both}: which of them? Give target.file and others")
    return parts


def choose_splits(
    spelled: str, names: Iterable[str], test_split: float | str | None, column: str | None = None
) -> Choice:
    """Choose the pool's splits and the test split by their names.

    Args:
        spelled: name of the table in errors.
        names: of all splits: names of files, or values of `column`.
        test_split: the name of the split to test on, or a share if no split is named test.
        column: the column that the names come from; None for names of files.

    Raises:
        BadInputError: there is no test split, or two ways to get one, or nothing to train on.
    """
    found = {name: name.lower() for name in sorted(set(names))}
    named = test_split if isinstance(test_split, str) else None
    where = f"{spelled}, column {column!r}," if column else spelled
    if named is not None and named not in found:
        raise BadInputError(f"{where} has no split {named!r}{did_you_mean(named, found)}")
    twins = [] if named is None else [n for n in found if n != named and near(n) == near(named)]
    if twins:
        raise BadInputError(
            f"{where} has splits {named!r} and {twins[0]!r}: one would be tested on and the other "
            "not; write them in one way"
        )
    train, validation, test = (_named(found, known) for known in (TRAIN, VALIDATION, TEST))
    test = frozenset([named]) if named is not None else test
    others = set(found) - train - validation - test - _named(found, TEST)
    if column and others:
        told = f"{min(others)!r}, which names no split: train, validation or test"
        raise BadInputError(f"{where} has {told}")
    if not train:
        raise BadInputError(f"{where} has no train split, only {', '.join(found)}")
    if not train - test:
        raise BadInputError(f"{where} has nothing left to train on beside {named!r}")
    share = test_split if isinstance(test_split, float) else None
    if test and share is not None:
        raise BadInputError(f"{where} has a split {min(test)!r} already: leave out test_split")
    if not test and share is None:
        raise BadInputError(f"{where} has no test split: give {_advice(validation, column)}")
    pool = (train | validation) - test
    return Choice(pool, test, share, tuple(sorted(set(found) - pool - test)))


def _named(found: dict[str, str], known: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name, low in found.items() if low in known)


def _advice(validation: frozenset[str], column: str | None) -> str:
    if validation:
        ways = [f"target.test_split={min(validation)} to test on that"]
    else:
        ways = [] if column else ["target.test_file=...", "target.split_column=..."]
    return ", ".join(ways) + (", or " if ways else "") + "a share, as in target.test_split=0.2"
