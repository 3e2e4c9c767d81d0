"""Any Hugging Face dataset with a column of texts or images and a column of labels."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.copies.duplicates import Duplicates, with_copies_settled
from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import Examples, Labels
from transfergrid.data.group_names import Alike
from transfergrid.data.hub_columns import known_column, label_text, only_column, texts_of
from transfergrid.data.hub_datasets import read_splits
from transfergrid.data.images.brightness import check_files, scale_of
from transfergrid.data.images.folder_layout import TEST
from transfergrid.data.images.stored_images import SMALL, Stored, StoredImages
from transfergrid.data.numbers import as_number, spelled
from transfergrid.data.outline import Outline, outlined
from transfergrid.data.tables.table_labels import sound_text
from transfergrid.data.tables.table_layout import Choice, choose_splits
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
from transfergrid.data.text import TextExamples
from transfergrid.records.arguments import SplitOrPart
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.fingerprints import fingerprint
from transfergrid.records.metrics import CLASSES, NUMBERS

LABELS = ("label", "labels")
"""Default names of the column of labels."""
KEPT = 4
_KEPT: dict[str, Rows] = {}


@dataclass(frozen=True, kw_only=True)
class HuggingFaceData(Domain):
    """A dataset of the hub or of a folder; its `train` and `validation` splits are the pool.

    Rows are ordered by their contents, as in tables.

    Attributes:
        dataset: its name on the hub, such as "stanfordnlp/sst2".
        folder: a folder instead: written by `save_to_disk`, or with Parquet files.
        config: the name of its configuration, if it has several.
        revision: a branch, tag or commit.
        label: the column of labels; by default "label" or "labels", or the only column of class
            labels. With a metric of numbers, a column of numbers.
        test_split: share of each class to test on, or the name of a split such as validation.
        cluster_column: see `TableDomain`; `group_column` likewise.
        duplicates: "keep" counts the test examples whose copies are in the pool, "drop" leaves
            these copies out of the pool.
        alike_groups: for groups or clusters such as P7 and p7, or 007 and 7: "refuse" them,
            "merge" them into one, or "keep" them apart.
    """

    dataset: str | None = None
    folder: str | None = None
    config: str | None = None
    revision: str | None = None
    label: str | None = None
    test_split: SplitOrPart | None = None
    group_column: str | None = None
    cluster_column: Clusters = None
    duplicates: Duplicates = "keep"
    alike_groups: Alike = "refuse"

    paths: ClassVar[tuple[str, ...]] = ("folder",)
    content_addressed: ClassVar[bool] = True
    descriptive: ClassVar[tuple[str, ...]] = (
        *Domain.descriptive,
        "alike_groups",  # where it matters, the content differs
    )
    optional: ClassVar[tuple[str, ...]] = ("cluster_column",)
    tasks: ClassVar[tuple[str, ...]] = (CLASSES, NUMBERS)

    @property
    def outputs(self) -> tuple[str, ...]:
        """See `Domain.outputs`: the label column, where it holds numbers."""
        if not self.of_numbers:
            return ()
        return (self.label or str(self._rows().notes["label"]),)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes as listed by the label column's feature, or else its sorted values."""
        return self._rows().classes

    def content(self) -> str:
        """See `Component.content`: of the rows, wherever they come from."""
        return self._rows().content()

    def check(self) -> None:
        """See `Domain.check`; decodes every image once."""
        super().check()
        self.load()

    def outline(self) -> Outline:
        """See `Domain.outline`; copies that "drop" leaves out of the pool still count."""
        rows = self._rows()
        return outlined(rows.classes, rows.labels(rows.pool), rows.labels(rows.test))

    def remarks(self) -> list[str]:
        """See `Domain.remarks`: odd names of groups."""
        return [f"{self._spelled}: {line}" for line in self._rows().notes.get(REMARKS, ())]

    def load(self) -> LoadedDomain:
        """Return the splits, in an order that depends only on their contents."""
        rows = self._rows()
        pool, test = (self._part(rows, part) for part in (rows.pool, rows.test))
        loaded = LoadedDomain(pool, test, rows.classes, rows.notes, self.outputs)
        key = rows.content() + self._reading
        return with_copies_settled(loaded, self.modality, self.duplicates, key, self._spelled)

    @property
    def _reading(self) -> str:
        """The setting for reading the content, if the same content can be read in several ways."""
        return ""

    def _part(self, rows: Rows, part: Sequence[Row]) -> Examples:
        values = [row.input.value for row in part]
        found = self._examples(values, rows.labels(part), groups_of(part))
        found.clusters = clusters_of(part, self.cluster_column)
        return found

    @property
    def _spelled(self) -> str:
        return str(self.dataset or self.folder)

    @abstractmethod
    def _columns(self, features: Any) -> tuple[str, ...]:
        """Return the columns of an example's input."""

    @abstractmethod
    def _inputs(self, split: Any, columns: Sequence[str]) -> list[Input]:
        """Return the input of each row of a split, from these columns."""

    @abstractmethod
    def _examples(
        self, values: list[Any], labels: Labels, groups: NDArray[np.str_] | None
    ) -> Examples:
        """Return examples with these inputs."""

    def _rows(self) -> Rows:
        """Return the rows, cached for the last few datasets, because reading takes seconds."""
        stamp = None if self.folder is None else fingerprint(self.folder)
        key = json.dumps([type(self).__qualname__, asdict(self), stamp], default=list)
        if key not in _KEPT:
            while len(_KEPT) >= KEPT:
                _KEPT.pop(next(iter(_KEPT)))
            _KEPT[key] = self._read()
        return _KEPT[key]

    def _read(self) -> Rows:
        whole = whole_column(self.cluster_column, self.group_column)
        splits = read_splits(self.dataset, self.folder, self.config, self.revision)
        if self.test_split is None and not {name.lower() for name in splits} & TEST:
            raise BadInputError(
                f"{self._spelled} has no test split, only {', '.join(splits)}: give one of them as "
                "target.test_split, or a share of each class, as in target.test_split=0.2"
            )
        choice = choose_splits(self._spelled, splits, self.test_split)
        used = {n: split for n, split in splits.items() if n in choice.pool | choice.test}
        features = next(iter(used.values())).features
        label = self._label(features)
        remarks: list[str] = []
        try:
            columns = self._columns(features)
            found = [
                row
                for name, split in used.items()
                for row in self._of_split(name, split, columns, label)
            ]
            names = getattr(features[label], "names", None)
            found, remarks = with_groups_named_once(
                found, self.group_column, self.cluster_column, self.alike_groups
            )
            classes: tuple[str, ...] = ()
            if self.of_numbers:
                pool, test = settled_numbers(found, choice, (label,), whole, self.metric)
            else:
                pool, test, classes = settled(found, choice, names, label, whole)
        except BadInputError as error:
            raise BadInputError("; ".join([f"{self._spelled}: {error}", *remarks])) from error
        told: dict[str, Any] = {REMARKS: remarks} if remarks else {}
        told |= {"label": label} if self.of_numbers else {}
        return Rows(pool, test, classes, {**self._notes(choice, columns, pool, test), **told})

    def _notes(
        self, choice: Choice, columns: Sequence[str], pool: list[Row], test: list[Row]
    ) -> dict[str, Any]:
        ignored = list(choice.ignored)
        return {"columns": list(columns), "ignored_splits": ignored, **group_counts(pool, test)}

    def _label(self, features: Any) -> str:
        if self.label is not None:
            return known_column(self.label, features, self._spelled)
        named = [column for column in LABELS if column in features]
        listed = [name for name, feature in features.items() if hasattr(feature, "names")]
        if not named and len(listed) != 1:
            raise BadInputError(
                f"{self._spelled}: which column has the labels? Give target.label; "
                f"there is {', '.join(features)}"
            )
        return (named or listed)[0]

    def _of_split(self, name: str, split: Any, columns: Sequence[str], label: str) -> list[Row]:
        """Return the rows of one split."""
        inputs, names = self._inputs(split, columns), getattr(split.features[label], "names", None)
        labels = [label_text(value, names) for value in split[label]]
        missing = labels.count(None)
        if missing:
            hint = "; target.test_split=validation tests on that split" if missing > 1 else ""
            raise BadInputError(f"{missing} rows of {name} have no label in {label!r}{hint}")
        groups, clusters = (
            texts_of(split, column, name) if column else [None] * len(labels)
            for column in (self.group_column, self.cluster_column)
        )
        if self.of_numbers:
            labels = [
                self._number(text, f"{name}: row {i}, column {label!r}")
                for i, text in enumerate(labels, 1)
            ]
        told = zip(inputs, labels, groups, clusters, strict=True)
        return [Row(name, made, str(text), *whose) for made, text, *whose in told]

    def _number(self, text: str | None, place: str) -> str:
        try:
            return spelled([as_number(str(text))])
        except BadInputError as error:
            raise BadInputError(f"{place}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class HuggingFaceText(HuggingFaceData):
    """Texts, or pairs of texts.

    Attributes:
        text: the column of texts; by default the only such column.
        pair: the column of second texts, if examples are pairs, such as two sentences.
    """

    text: str | None = None
    pair: str | None = None

    modality: ClassVar[str] = "text"

    def _columns(self, features: Any) -> tuple[str, ...]:
        if self.text is None:
            others = {self.label, self.pair, self.group_column, *LABELS}
            found = [
                name
                for name, feature in features.items()
                if getattr(feature, "dtype", None) in ("string", "large_string")
                and name not in others
            ]
            first = only_column("text", found, features)
        else:
            first = known_column(self.text, features, "it")
        return (first, known_column(self.pair, features, "it")) if self.pair else (first,)

    def _inputs(self, split: Any, columns: Sequence[str]) -> list[Input]:
        texts = [[_sound(value, column) for value in split[column]] for column in columns]
        rows = zip(*texts, strict=True)
        return [Input(row[0] if len(row) == 1 else row, row) for row in rows]

    def _examples(
        self, values: list[Any], labels: Labels, groups: NDArray[np.str_] | None
    ) -> TextExamples:
        return TextExamples(values, labels, groups)


def _sound(value: Any, column: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadInputError(f"column {column!r} has a row without text")
    return sound_text(value)


@dataclass(frozen=True, kw_only=True)
class HuggingFaceImages(HuggingFaceData):
    """Images of any sizes.

    Attributes:
        image: the column of images; by default the only such column.
        brightest: the value of white in images of more than 8 bits, if it is not clear.
        darkest: the value of black in these; 0 by default.
    """

    image: str | None = None
    brightest: float | None = None
    darkest: float | None = None

    optional: ClassVar[tuple[str, ...]] = (*HuggingFaceData.optional, "brightest", "darkest")

    def check(self) -> None:
        """See `HuggingFaceData.check`; raises if it is not clear which value is white."""
        super().check()
        rows, scale = self._rows(), scale_of(self.darkest, self.brightest)
        parts = {"the pool": rows.pool, "test": rows.test}
        stored = {
            name: self._examples([row.input.value for row in part], rows.labels(part), None)
            for name, part in parts.items()
        }
        depths = {name: examples.depths() for name, examples in stored.items()}
        check_files(self._spelled, depths, scale)

    @property
    def _reading(self) -> str:
        return scale_of(self.darkest, self.brightest).spelled

    def _columns(self, features: Any) -> tuple[str, ...]:
        if self.image is not None:
            return (known_column(self.image, features, "it"),)
        found = [name for name, f in features.items() if type(f).__name__ == "Image"]
        return (only_column("image", found, features),)

    def _inputs(self, split: Any, columns: Sequence[str]) -> list[Input]:
        from datasets import Image

        (column,) = columns
        if type(split.features[column]).__name__ != "Image":
            raise BadInputError(f"column {column!r} holds no images")
        raw = split.cast_column(column, Image(decode=False)).select_columns([column])
        return [_input(Stored(raw, i, column)) for i in range(len(raw))]

    def _examples(
        self, values: list[Any], labels: Labels, groups: NDArray[np.str_] | None
    ) -> StoredImages:
        return StoredImages(values, labels, groups, scale_of(self.darkest, self.brightest))


def _input(image: Stored) -> Input:
    """Return an image as input: its file's bytes if they are few, its path, or its place."""
    found = image.get()
    if not found:
        raise BadInputError(f"row {image.place} has nothing in column {image.column!r}")
    content = found if isinstance(found, bytes) else Path(found).read_bytes()
    return Input(image if len(found) > SMALL else found, (sha256(content).hexdigest(),))
