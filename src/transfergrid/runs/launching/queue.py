"""The queue of a grid, which worker loops run on any machine that sees the folder of results.

    launches/<id>/queue.json     the cells in their order, and how they are run
    launches/<id>/*.log, ...     the output of the loops

It is written once and never changes, so loops cannot race for it. The ledger says which of its
cells are done, the claims which are being run.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transfergrid.records.cell import Cell, cell_of
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.files import contents
from transfergrid.records.ledgers.claims import LEASE
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.launching.settings import Settings

FOLDER, FILE = "launches", "queue.json"


@dataclass(frozen=True)
class Queue:
    """Cells that several worker loops run together.

    Args:
        folder: the queue's own folder, inside that of the results.
        cells: the cells, in the order in which they are begun.
        trainer: the trainer's config as typed: each machine resolves `auto` for itself.
        tracking: config of the tracker.
        study: the study's name.
        keep: whose weights are kept.
        lease: seconds without a sign of life after which a process that runs a cell counts as dead.
        tried: how often cells had failed before the launch, by identity, where that is not 0.
    """

    folder: Path
    cells: Sequence[Cell]
    trainer: Config
    tracking: Config
    study: str | None = None
    keep: str = "none"
    lease: float = LEASE
    tried: Mapping[str, int] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        """The ledger's folder."""
        return self.folder.parents[1]

    @classmethod
    def of(cls, cells: Sequence[Cell], ledger: Ledger, settings: Settings) -> Queue:
        """Return a queue that is not written yet."""
        name = f"{cells[0].grid or 'grid'}-{uuid.uuid4().hex[:6]}"
        tried = {cell.id: ledger.tries(cell.id) for cell in cells}
        return cls(
            ledger.root.absolute() / FOLDER / name,
            cells,
            settings.trainer,
            settings.tracking,
            settings.study,
            settings.keep,
            settings.launcher.lease,
            {identity: number for identity, number in tried.items() if number},
        )

    def write(self) -> None:
        """Write the queue atomically; equal parts of configs are stored once.

        Raises:
            OSError: the folder takes no files.
        """
        parts: dict[str, int] = {}
        told = {key: getattr(self, key) for key in _PLAIN}
        cells = [{**asdict(cell), "config": _numbered(cell.config, parts)} for cell in self.cells]
        text = json.dumps({**told, "parts": [*map(json.loads, parts)], "cells": cells})
        with Ledger(self.results).draft() as draft:
            (draft / FILE).write_text(text, encoding="utf-8")
            self.folder.mkdir(parents=True)
            (draft / FILE).replace(self.folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> Queue:
        """Return the queue in a folder.

        Raises:
            BadInputError: there is none, or it is damaged.
        """
        try:
            told: Any = contents.parsed(contents.read_bytes(folder / FILE))
            parts = told["parts"]
            cells = [cell_of({**c, "config": _whole(c["config"], parts)}) for c in told["cells"]]
            return cls(folder.absolute(), cells, **{key: told[key] for key in _PLAIN})
        except OSError as error:
            raise BadInputError(f"no queue in {folder}: {error.strerror}") from None
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise BadInputError(f"{folder / FILE} is damaged") from None

    def remove(self) -> None:
        """Remove the queue's folder, with the loops' logs."""
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.parent.rmdir()
        except OSError:  # other launches are in it
            return


_PLAIN = ("trainer", "tracking", "study", "keep", "lease", "tried")


def _numbered(config: Config, parts: dict[str, int]) -> dict[str, int]:
    texts = {key: json.dumps(value, sort_keys=True) for key, value in config.items()}
    return {key: parts.setdefault(text, len(parts)) for key, text in texts.items()}


def _whole(numbers: Mapping[str, int], parts: Sequence[Any]) -> Config:
    return {key: parts[number] for key, number in numbers.items()}
