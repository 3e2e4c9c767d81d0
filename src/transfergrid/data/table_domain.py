"""The base of all table domains: splits, labels, groups, clusters, identity."""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.copies.duplicates import Duplicates, with_copies_settled
from transfergrid.data.domain import OPTIONAL, Domain, LoadedDomain
from transfergrid.data.examples import Examples, Labels
from transfergrid.data.group_names import Alike
from transfergrid.data.numbers import OF_NUMBERS, as_number, spelled
from transfergrid.data.outline import Outline, outline_of, outlined
from transfergrid.data.tables.table_labels import as_text
from transfergrid.data.tables.table_layout import (
    CLASS_NAMES,
    Choice,
    Part,
    choose_splits,
    find_parts,
)
from transfergrid.data.tables.table_rows import (
    REMARKS,
    Clusters,
    Input,
    Row,
    Rows,
    clusters_of,
    group_counts,
    groups_of,
    settled,
    settled_numbers,
    whole_column,
    with_groups_named_once,
)
from transfergrid.records.arguments import Columns, SplitOrPart
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents
from transfergrid.records.files.fingerprints import content_hashes, existing, file_facts
from transfergrid.records.files.tables import Table, read_table
from transfergrid.records.metrics import CLASSES, NUMBERS

READING = 3
"""Version of reading tables; raise it whenever the same table may give other rows, splits, classes
or another order. Then cached facts are not used any more."""


@dataclass(frozen=True, kw_only=True)
class TableDomain(Domain):
    """A table with a label column: one file, one file per split, or a folder of these.

    A folder holds tables named `train`, `dev` or `val`, and `test`; its `classes.json` names the
    labels 0, 1, ... Training and validation rows form the pool together; a cell's validation part
    is drawn from its given labels. Rows are ordered by their contents, so that neither their order
    nor the file's format or place changes a result.

    Attributes:
        file: the table, or the folder.
        label: the column of labels: text, whole numbers or truth values. With a metric of numbers,
            a column of numbers, or several columns, which are then predicted together.
        test_file: a table to test on.
        validation_file: a table that joins the pool.
        split_column: a column with the values train, validation or test.
        test_split: what to test on if nothing is named test: a share of each class between 0 and
            1, or the name of a split such as "dev".
        cluster_column: a column of patients, authors, films, ...: examples of the same cluster
            depend on each other. No cluster is in both pool and test, and errors are by cluster.
        group_column: a column of subpopulations (hospitals, domains, ...), for tables by group.
            Without a `cluster_column` its groups are clusters too; `cluster_column: false` says
            that they are not.
        class_names: the classes in order: the labels, or the names of the labels 0, 1, ...
        encoding: of text files.
        delimiter: between the fields of CSV; by default decided by the file's ending.
        duplicates: "keep" counts the test examples whose copies are in the pool, "drop" leaves
            these copies out of the pool.
        alike_groups: for groups or clusters such as P7 and p7, or 007 and 7: "refuse" them,
            "merge" them into one, or "keep" them apart.
    """

    file: str
    label: Columns = "label"
    test_file: str | None = None
    validation_file: str | None = None
    split_column: str | None = None
    test_split: SplitOrPart | None = None
    group_column: str | None = None
    cluster_column: Clusters = None
    class_names: Sequence[str] | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    duplicates: Duplicates = "keep"
    alike_groups: Alike = "refuse"

    paths: ClassVar[tuple[str, ...]] = ("file", "test_file", "validation_file")
    content_addressed: ClassVar[bool] = True
    descriptive: ClassVar[tuple[str, ...]] = (
        *(*Domain.descriptive, "encoding", "delimiter"),
        "alike_groups",  # where it matters, the content differs
    )
    optional: ClassVar[tuple[str, ...]] = ("cluster_column",)
    tasks: ClassVar[tuple[str, ...]] = (CLASSES, NUMBERS)

    @property
    @abstractmethod
    def input_columns(self) -> tuple[str, ...]:
        """The columns of an example's input."""

    @abstractmethod
    def inputs(self, table: Table) -> list[Input | None]:
        """Return the input of each row of a table; None for a row to leave out.

        Raises:
            BadInputError: a row has no usable input, and must not be left out.
        """

    @abstractmethod
    def examples(
        self, rows: Sequence[Row], labels: Labels, groups: NDArray[np.str_] | None
    ) -> Examples:
        """Return the examples of these rows."""

    @property
    def reading(self) -> str:
        """The setting for reading the content, if the same content can be read in several ways."""
        return ""

    left_out: ClassVar[str] = "rows_left_out"
    """The key, in notes, of the number of rows that `inputs` leaves out."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes from `class_names` or a folder's classes.json, or else the sorted labels."""
        return tuple(self.facts()["classes"])

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of labels."""
        return (self.label,) if isinstance(self.label, str) else tuple(self.label)

    @property
    def outputs(self) -> tuple[str, ...]:
        """See `Domain.outputs`: the label columns, where they hold numbers."""
        return self.label_columns if self.of_numbers else ()

    def content(self) -> str:
        """See `Component.content`: of all that a cell reads from the table, copies included."""
        return str(self.facts()["content"])

    def check(self) -> None:
        """See `Domain.check`; reads the table once, and caches its facts."""
        super().check()
        self._check_labels()
        self.facts()

    def _check_labels(self) -> None:
        """Raise `BadInputError` unless the columns of labels fit the metric."""
        columns = self.label_columns
        if not self.of_numbers and len(columns) > 1:
            raise BadInputError(
                f"{self.metric} scores one column of classes, and target.label names "
                f"{len(columns)}: numbers are scored by target.metric={OF_NUMBERS}"
            )
        if self.of_numbers and self.class_names is not None:
            raise BadInputError(f"target.class_names are of classes, and {self.metric} of numbers")

    def outline(self) -> Outline:
        """See `Domain.outline`; copies that "drop" leaves out of the pool still count."""
        return outline_of(self.facts())

    def remarks(self) -> list[str]:
        """See `Domain.remarks`: odd names of groups."""
        return [f"{self.file}: {line}" for line in self.facts()[REMARKS]]

    def load(self) -> LoadedDomain:
        """Return the splits, in an order that depends only on their contents."""
        rows = self.rows()
        pool, test = (self._examples(rows, part) for part in (rows.pool, rows.test))
        loaded = LoadedDomain(pool, test, rows.classes, rows.notes, self.outputs)
        key = rows.content() + self.reading
        return with_copies_settled(loaded, self.modality, self.duplicates, key, self.file)

    def facts(self) -> dict[str, Any]:
        """Return content, outline and remarks of the table, cached while the files are the same."""
        files = [part.file for part in find_parts(self.file, self.test_file, self.validation_file)]
        hashes = [content_hashes(file, [""])[""] for file in (*files, *_class_names(self.file))]
        told = {
            key: value for key, value in dataclasses.asdict(self).items() if key not in OPTIONAL
        }
        asked = [type(self).__qualname__, self.version, told, hashes]
        kind = (
            f"table/{READING}/{sha256(json.dumps(asked, default=list).encode()).hexdigest()[:32]}"
        )
        facts = file_facts(files[0], [""], kind, lambda file: self.measured())
        return dict(json.loads(facts[""]))

    def measured(self) -> str:
        """Return the facts that `facts` caches, as JSON."""
        rows = self.rows()
        told = outlined(rows.classes, rows.labels(rows.pool), rows.labels(rows.test))
        remarks = rows.notes.get(REMARKS, [])
        return json.dumps({"content": rows.content(), **told.as_dict(), REMARKS: remarks})

    def rows(self) -> Rows:
        """Read the table; return its rows in canonical order, with splits, classes and notes."""
        whole = whole_column(self.cluster_column, self.group_column)
        found, choice, n_left_out = self._read()
        remarks: list[str] = []
        try:
            found, remarks = with_groups_named_once(
                found, self.group_column, self.cluster_column, self.alike_groups
            )
            classes: tuple[str, ...] = ()
            if self.of_numbers:
                columns = self.label_columns
                pool, test = settled_numbers(found, choice, columns, whole, self.metric)
            else:
                (label,) = self.label_columns
                names = self._class_names()
                pool, test, classes = settled(found, choice, names, label, whole)
        except BadInputError as error:
            raise BadInputError("; ".join([f"{self.file}: {error}", *remarks])) from error
        notes: dict[str, Any] = {
            self.left_out: n_left_out,
            "ignored_splits": list(choice.ignored),
            **group_counts(pool, test),
            **({REMARKS: remarks} if remarks else {}),
        }
        return Rows(pool, test, classes, notes)

    def _class_names(self) -> Sequence[str] | None:
        """Return the classes' names in order, if they are given."""
        if self.class_names is not None:
            return self.class_names
        return next((_read_class_names(file) for file in _class_names(self.file)), None)

    def _read(self) -> tuple[list[Row], Choice, int]:
        """Return the rows of the splits in use, these splits, and how many rows were left out."""
        parts = find_parts(self.file, self.test_file, self.validation_file)
        column = self.split_column
        if column is None:
            whole = choose_splits(self.file, {part.split for part in parts}, self.test_split)
            used = [part for part in parts if part.split in whole.pool | whole.test]
            tables = [(part, self._table(part)) for part in used]
            rows = [row for part, t in tables for row in self._rows(t, [part.split] * len(t))]
            return rows, whole, sum(len(table) for _, table in tables) - len(rows)
        if len(parts) > 1:
            raise BadInputError(
                f"{self.file}: split_column={column} needs one table that holds all splits, not "
                f"{len(parts)} files"
            )
        table = self._table(parts[0])
        splits = [present(table, column, row) for row in range(len(table))]
        choice = choose_splits(self.file, splits, self.test_split, column)
        kept = [i for i, split in enumerate(splits) if split in choice.pool | choice.test]
        rows = self._rows(table.only(kept), [splits[i] for i in kept])
        return rows, choice, len(kept) - len(rows)

    def wanted(self) -> list[str]:
        """Return all columns that the arguments name.

        Raises:
            BadInputError: a column is named for two purposes.
        """
        wanted = [*self.input_columns, *self.label_columns, self.split_column]
        wanted += [self.group_column, self.cluster_column or None]
        columns = [column for column in wanted if column is not None]
        twice = [column for column in columns if columns.count(column) > 1]
        if twice:
            raise BadInputError(f"{self.file}: column {twice[0]!r} was named for two purposes")
        return columns

    def _table(self, part: Part) -> Table:
        return read_table(part.file, part.name, self.wanted(), self.encoding, self.delimiter)

    def _rows(self, table: Table, splits: Sequence[str]) -> list[Row]:
        rows = []
        for i, made in enumerate(self.inputs(table)):
            if made is not None:
                label = self._label(table, i)
                group, cluster = (
                    present(table, column, i) if column else None
                    for column in (self.group_column, self.cluster_column)
                )
                rows.append(Row(splits[i], made, label, group, cluster))
        return rows

    def _label(self, table: Table, row: int) -> str:
        """Return a row's class, or its numbers as `numbers.spelled` writes them."""
        told = [present(table, column, row) for column in self.label_columns]
        if not self.of_numbers:
            return told[0]
        found = []
        for column, text in zip(self.label_columns, told, strict=True):
            try:
                found.append(as_number(text))
            except BadInputError as error:
                place = f"{table.place(row)}, column {column!r}"
                raise BadInputError(f"{place}: {error}") from error
        return spelled(found)

    def _examples(self, rows: Rows, part: Sequence[Row]) -> Examples:
        found = self.examples(part, rows.labels(part), groups_of(part))
        found.clusters = clusters_of(part, self.cluster_column)
        return found


def present(table: Table, column: str, row: int) -> str:
    """Return a cell of the table as text.

    Raises:
        BadInputError: the cell is empty, or holds a list, an object or bytes.
    """
    try:
        text = as_text(table.columns[column][row])
    except BadInputError as error:
        raise BadInputError(f"{table.place(row)}, column {column!r}: {error}") from error
    if text is None:
        written = str(table.columns[column][row] or "").strip()
        told = f" ({written!r} is read as a missing value)" if written else ""
        raise BadInputError(f"{table.place(row)} has nothing in column {column!r}{told}")
    return text


def _class_names(spelled: str) -> Iterable[Path]:
    """Return the file that names a folder's classes in a list; an empty list without one."""
    file = existing(spelled) / CLASS_NAMES
    return [file] if file.is_file() else []


def _read_class_names(file: Path) -> list[str]:
    try:
        names = contents.parsed(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{file} cannot be read: {error}") from error
    if not isinstance(names, list):
        raise BadInputError(f'{file} must hold a list of names, as in ["no", "yes"]')
    return names
