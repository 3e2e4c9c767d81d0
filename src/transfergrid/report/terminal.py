"""What the terminal, or whatever stands in its place, takes: columns, colours, characters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from typing_extensions import override

from transfergrid.records.printing import coloured, put, shown
from transfergrid.report.words import ASCII, UNICODE, Symbols

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment


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


def console(out: TextIO, color: bool, width: int | None = None) -> Console:
    """Return what lays out text for a terminal; no text in it can command one."""
    from rich.console import Console

    class Safe(Console):
        @override
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=shown(segment.text))

    return Safe(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
    )
