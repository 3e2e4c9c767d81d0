"""What the terminal, or whatever stands in its place, takes: columns, colours, characters."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from transfergrid.records.printing import coloured, put, shown
from transfergrid.report.words import ASCII, UNICODE, Symbols


@dataclass(frozen=True)
class Terminal:
    """A place that text is written to; by default standard output.

    Args:
        file: the place.
    """

    file: TextIO

    @classmethod
    def of(cls, file: TextIO | None = None) -> Terminal:
        """Return that of a file, by default of standard output as it is now."""
        return cls(file or sys.stdout)

    @property
    def width(self) -> int:
        """Columns; what `COLUMNS` says, or 80, where there is no terminal."""
        from rich.console import Console

        return Console(file=self.file).width

    @property
    def color(self) -> bool:
        """Whether it takes colour codes."""
        from rich.console import Console

        return Console(file=self.file).color_system is not None

    @property
    def symbols(self) -> Symbols:
        """The characters of our own that it can show."""
        return UNICODE if self._encoding.startswith("utf") else ASCII

    @property
    def _encoding(self) -> str:
        return (getattr(self.file, "encoding", None) or "utf-8").lower()

    def write(self, text: str) -> None:
        """Write text; characters that cannot be shown, such as those of a name, become "?"."""
        put(self.file, (coloured if self.color else shown)(text))
