"""Which cells have come into a ledger since somebody last looked, at the cost of a stat a shelf.

Whoever waits for thousands of cells that other machines run cannot open each of them every second.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from transfergrid.records.files import folders

FRESH = 3e9
"""Nanoseconds in which a folder may be changed again without a sign: its time is that coarse."""
WHOLE = 30.0
"""Seconds after which all is listed again: a shared folder's times may lag behind its contents."""
_IDENTITY = re.compile(r"[0-9a-f]{16}")


class Arrivals:
    """The cells that appear under `cells` and `attempts`.

    Args:
        root: the ledger's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[Path, int] = {}
        """When each folder was last changed before it was last listed, in ns; 0 if just then."""
        self._at = 0.0

    def done(self) -> set[str]:
        """Return cells whose folder may have come since the last look: those to look at."""
        if time.monotonic() - self._at > WHOLE:
            self._listed.clear()
            self._at = time.monotonic()
        cells = self.root / "cells"
        return {name for shelf in folders.listed(cells) for name in self._new_in(cells / shelf)}

    def tried(self) -> set[str]:
        """Return cells that have failed attempts, where any came since the last look."""
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
