"""The key `rerun`: selects done cells to run again, by word, conditions or id."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.records.ledgers import again

if TYPE_CHECKING:
    from transfergrid.evidence.measured.selecting import Where
    from transfergrid.records.cell import Cell
    from transfergrid.records.ledgers.ledger import Ledger

FAILED, STALE, ALL = "failed", "stale", "all"
WORDS = (FAILED, STALE, ALL)
KEYS = ("source", "architecture", "strategy", "target", "training", "labels", "seed")
"""The keys that conditions may use."""
_IDS = re.compile(r"[0-9a-f]{4,16}")


@dataclass(frozen=True)
class Rerun:
    """The selection of done cells to run again; failed cells are always tried again.

    Args:
        told: one of the `WORDS`, conditions as for `--where`, or prefixes of ids.

    Raises:
        BadInputError: `told` is none of these.
    """

    told: str = FAILED

    def __post_init__(self) -> None:
        if self._is_conditions:
            self._where()
        elif self.told not in WORDS and not self._ids:
            near = did_you_mean(self.told, WORDS)
            raise BadInputError(
                f"rerun={self.told}: give {', '.join(WORDS)}, conditions as in "
                f"rerun='strategy=lora labels=5', or ids of cells{near if near[-1] == '?' else ''}"
            )

    @property
    def _is_conditions(self) -> bool:
        return re.search("[=<>]", self.told) is not None

    @property
    def _ids(self) -> Sequence[str]:
        """The prefixes of ids; empty if `told` is something else."""
        words = re.split(r"[\s,]+", self.told.strip().strip("[]").strip().lower())
        return words if all(map(_IDS.fullmatch, words)) else ()

    def _where(self) -> Where:
        from transfergrid.evidence.measured.selecting import (
            Where,  # imported late: imports NumPy
        )

        try:
            return Where.parse(self.told, KEYS)
        except BadInputError as error:
            raise self._refused(error) from None

    def _refused(self, error: BadInputError) -> BadInputError:
        return BadInputError(str(error).replace("--where", "rerun"))

    def among(self, cells: Sequence[Cell], ledger: Ledger) -> set[str]:
        """Return the ids of cells that have a record and are to run again.

        An interrupted rerun is finished first: cells that it has already run are not run again.
        With "stale", staleness itself shows which cells are left.

        Raises:
            BadInputError: it selects no cell of the grid.
        """
        marked = again.marked(ledger.root)
        if self.told == FAILED and not marked:
            return set()
        kept = ledger.kept(cell.id for cell in cells)
        meant = self._meant(cells, kept, ledger)
        unfinished = marked & kept
        return unfinished if unfinished & meant and self.told != STALE else unfinished | meant

    def _meant(self, cells: Sequence[Cell], kept: Collection[str], ledger: Ledger) -> set[str]:
        if self.told == FAILED:
            return set()
        if self.told == ALL:
            return set(kept)
        if self.told == STALE:
            from transfergrid.records.provenance import stale_among

            rows = ledger.columns(("id", "code", "strategy_class")) if kept else []
            return stale_among(rows) & set(kept)
        if self._is_conditions:
            where = self._where()
            try:
                where.check(cells)
            except BadInputError as error:
                raise self._refused(error) from None
            return {cell.id for cell in cells if where.keeps(cell)} & set(kept)
        return self._by_id(cells) & set(kept)

    def _by_id(self, cells: Sequence[Cell]) -> set[str]:
        found = set()
        for beginning in self._ids:
            own = {cell.id for cell in cells if cell.id.startswith(beginning)}
            if not own:
                raise BadInputError(f"rerun={self.told}: no cell of this grid begins {beginning}")
            found |= own
        return found
