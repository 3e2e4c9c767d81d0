"""Images whose paths and labels stand in a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.content_splits import named
from transfergrid.data.image_files import FileExamples, broken_images
from transfergrid.data.table_domain import TableDomain, present
from transfergrid.data.table_rows import Input, Row
from transfergrid.data.tables import Table
from transfergrid.errors import BadInputError
from transfergrid.fingerprints import content_hashes, existing


@dataclass(frozen=True)
class ImageTable(TableDomain):
    """A table of images' paths: CSV, JSON lines, Parquet, ...; see `TableDomain` for its splits.

    Attributes:
        file: the table, or a folder of them.
        path: the column of paths.
        label: the column of labels.
        root: the folder that paths start from; by default the one that the table lies in.
        skip_broken: leave out and count images that do not decode, instead of refusing.
    """

    file: str
    path: str = "path"
    label: str = "label"
    root: str | None = None
    skip_broken: bool = False

    paths: ClassVar[tuple[str, ...]] = (*TableDomain.paths, "root")
    left_out: ClassVar[str] = "broken_images"

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The path."""
        return (self.path,)

    def facts(self) -> dict[str, Any]:
        """See `TableDomain.facts`; what is in the images is remembered image by image."""
        return dict(json.loads(self.measured()))

    def inputs(self, table: Table) -> list[Input | None]:
        """Return each row's image; None for one that does not decode."""
        root = table.file.parent if self.root is None else existing(self.root)
        names = [present(table, self.path, row) for row in range(len(table))]
        different = list(dict.fromkeys(names))
        missing = [name for name in different if not (root / name).is_file()]
        if missing:
            count = f"{len(missing)} image{'s are' if len(missing) > 1 else ' is'} not there"
            raise BadInputError(
                f"{table.name}: {count}: {named(missing)}; paths start from "
                f"{self.root or root}, or give target.root=..."
            )
        broken = broken_images(root, different, table.name, self.skip_broken)
        hashes = content_hashes(root, different)
        return [None if n in broken else Input(root / n, (hashes[n],)) for n in names]

    def examples(
        self, rows: Sequence[Row], labels: NDArray[np.int64], groups: NDArray[np.str_] | None
    ) -> FileExamples:
        """Return lazily decoded images."""
        files: list[Path] = [row.input.value for row in rows]
        return FileExamples(files, labels, groups)
