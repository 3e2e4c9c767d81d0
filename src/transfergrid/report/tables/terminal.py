"""The capabilities of the terminal, or of the file in its place: width, colours, characters."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from transfergrid.records.printing import coloured, put, shown
from transfergrid.report.wording.words import ASCII, UNICODE, Symbols


@dataclass(frozen=True)
class Terminal:
    """An output for text; by default standard output.

    Args:
        file: the stream.
    """

    file: TextIO

    @classmethod
    def of(cls, file: TextIO | None = None) -> Terminal:
        """Return the terminal of a file, by default of the current standard output."""
        return cls(file or sys.stdout)

    @property
    def width(self) -> int:
        """The number of columns; without a terminal, the value of `COLUMNS`, or 80."""
        from rich.console import Console

        return Console(file=self.file).width

    @property
    def color(self) -> bool:
        """Whether it supports colour codes."""
        from rich.console import Console

        return Console(file=self.file).color_system is not None

    @property
    def symbols(self) -> Symbols:
        """Our own symbols, in the set that it can show."""
        return UNICODE if self._encoding.startswith("utf") else ASCII

    @property
    def _encoding(self) -> str:
        return (getattr(self.file, "encoding", None) or "utf-8").lower()

    def write(self, text: str) -> None:
        """Write text; characters that cannot be encoded, as in a name, become "?"."""
        put(self.file, (coloured if self.color else shown)(text))
