"""Images whose paths and labels are in a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.content_splits import named
from transfergrid.data.examples import Labels
from transfergrid.data.images.brightness import Depth, Scale, check_files, scale_of
from transfergrid.data.images.image_files import FileExamples, looked_at
from transfergrid.data.table_domain import TableDomain, present
from transfergrid.data.tables.table_paths import Places
from transfergrid.data.tables.table_rows import Input, Row, Rows
from transfergrid.records.arguments import Columns
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.fingerprints import content_hashes, existing
from transfergrid.records.files.tables import Table


class Image(NamedTuple):
    """The image of a row."""

    file: Path
    depth: Depth | None
    """Its pixel values, if it has more than 8 bits; else None."""


@dataclass(frozen=True)
class ImageTable(TableDomain):
    """A table of images' paths: CSV, JSON lines, Parquet, ...; see `TableDomain` for its splits.

    Attributes:
        file: the table, or a folder of tables.
        path: the column of paths.
        label: the column of labels; with numbers as labels, one column or several.
        root: the folder to which paths are relative; by default the table's folder.
        skip_broken: leave out and count images that do not decode, instead of refusing.
        brightest: the value of white in images of more than 8 bits, if it is not clear.
        darkest: the value of black in these; 0 by default.
    """

    file: str
    path: str = "path"
    label: Columns = "label"
    root: str | None = None
    skip_broken: bool = False
    brightest: float | None = None
    darkest: float | None = None

    paths: ClassVar[tuple[str, ...]] = (*TableDomain.paths, "root")
    optional: ClassVar[tuple[str, ...]] = (*TableDomain.optional, "brightest", "darkest")
    left_out: ClassVar[str] = "broken_images"

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The column of paths."""
        return (self.path,)

    def facts(self) -> dict[str, Any]:
        """See `TableDomain.facts`; facts are cached for each image, not for the table."""
        return dict(json.loads(self.measured()))

    def inputs(self, table: Table) -> list[Input | None]:
        """Return each row's image; None for one that does not decode."""
        root = table.file.parent if self.root is None else existing(self.root)
        typed = [present(table, self.path, row) for row in range(len(table))]
        places = self._places(root, dict.fromkeys(typed), table.name)
        different, scale = list(dict.fromkeys(places.values())), self._scale
        looked = looked_at(root, different, table.name, self.skip_broken, scale)
        hashes = content_hashes(root, [name for name in different if name not in looked.broken])
        made = {
            name: Input(Image(root / name, looked.depths.get(name)), (hashes[name],))
            for name in hashes
        }
        return [made.get(places[name]) for name in typed]

    def _places(self, root: Path, typed: Iterable[str], spelled: str) -> dict[str, str]:
        """Return the file, relative to the root, of each name in the table."""
        below = Places(root)
        try:
            found = {name: below.find(name) for name in typed}
        except BadInputError as error:
            raise BadInputError(f"{spelled}: {error}") from error
        missing = [name for name, place in found.items() if place is None]
        if missing:
            count = f"{len(missing)} image{'s are' if len(missing) > 1 else ' is'} not there"
            raise BadInputError(
                f"{spelled}: {count}: {named(missing)}; paths start from "
                f"{self.root or root}, or give target.root=..."
            )
        return {name: place for name, place in found.items() if place is not None}

    @property
    def reading(self) -> str:
        """The given values of black and white."""
        return self._scale.spelled

    @property
    def _scale(self) -> Scale:
        return scale_of(self.darkest, self.brightest)

    def rows(self) -> Rows:
        """See `TableDomain.rows`; raises if it is not clear which value is white in the images."""
        rows = super().rows()
        depths = {
            name: [row.input.value.depth for row in part if row.input.value.depth is not None]
            for name, part in (("the pool", rows.pool), ("test", rows.test))
        }
        check_files(self.file, depths, self._scale)
        return rows

    def examples(
        self, rows: Sequence[Row], labels: Labels, groups: NDArray[np.str_] | None
    ) -> FileExamples:
        """Return the rows as lazily decoded images."""
        files: list[Path] = [row.input.value.file for row in rows]
        return FileExamples(files, labels, groups, self._scale)
