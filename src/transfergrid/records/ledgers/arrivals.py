"""Find the cells that appeared in a ledger since the last look, with one stat per shelf.

A shelf is a folder `cells/ab`. A process that waits for thousands of cells from other machines
cannot open every cell each second.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from transfergrid.records.files import folders

FRESH = 3e9
"""Nanoseconds within which a second change may leave a folder's modification time the same, because
file system clocks are coarse."""
WHOLE = 30.0
"""Seconds after which everything is listed again: on shared file systems times may lag behind."""
_IDENTITY = re.compile(r"[0-9a-f]{16}")


class Arrivals:
    """The cells that appear under `cells` and `attempts`.

    Args:
        root: the ledger's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[Path, int] = {}
        """Modification time (ns) of each folder when it was last listed; 0 if it was too recent."""
        self._at = 0.0

    def done(self) -> set[str]:
        """Return the cells in all shelves that may have changed since the last call."""
        if time.monotonic() - self._at > WHOLE:
            self._listed.clear()
            self._at = time.monotonic()
        cells = self.root / "cells"
        return {name for shelf in folders.listed(cells) for name in self._new_in(cells / shelf)}

    def tried(self) -> set[str]:
        """Return all cells with failed attempts, if a new cell failed since the last call."""
        return self._new_in(self.root / "attempts")

    def _new_in(self, folder: Path) -> set[str]:
        try:
            changed = folder.stat().st_mtime_ns
        except OSError:
            return set()
        if self._listed.get(folder) == changed:
            return set()
        self._listed[folder] = changed if time.time_ns() - changed > FRESH else 0
        return set(filter(_IDENTITY.fullmatch, folders.listed(folder)))
