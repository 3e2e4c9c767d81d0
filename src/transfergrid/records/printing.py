"""All printing goes through this module, so that no name or error text can control the terminal.

Names come from other people's results and tables. An escape sequence in a name could overwrite
earlier output, a change of the writing direction could show another name, and a line break could
forge a row.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_COMMANDS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1, but tab and line break
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the writing direction
    "\u2028\u2029\ufff9-\ufffb"  # line breaks of other kinds, annotations
)
_UNSAFE = re.compile(f"[{_COMMANDS}]")
_UNSAFE_IN_LINE = re.compile(f"[{_COMMANDS}\t\n]")
_COLOUR = re.compile("(\x1b\\[[0-9;]*m)")


def shown(text: str) -> str:
    r"""Return text with all control characters escaped, as in ``\u001b``.

    JSON uses the same escapes, so JSON text keeps its meaning.
    """
    return _UNSAFE.sub(_spelled, text)


def one_line(text: str) -> str:
    """Return text, such as a name, with line breaks and tabs escaped too, to fit a table cell."""
    return _UNSAFE_IN_LINE.sub(_spelled, text)


def in_one_line(row: T) -> T:
    """Return a row (a dataclass) with `one_line` applied to all its texts."""
    changed = {
        field.name: new
        for field in fields(row)
        if (new := _calm(value := getattr(row, field.name))) is not value
    }
    return replace(row, **changed) if changed else row


def _calm(value: Any) -> Any:
    """Return a value, with `one_line` applied to unsafe text, also to that in a tuple."""
    if type(value) is str:
        return one_line(value) if _UNSAFE_IN_LINE.search(value) else value
    if type(value) is tuple and any(type(item) is str for item in value):
        calm = tuple(map(_calm, value))
        return calm if calm != value else value
    return value


def coloured(text: str) -> str:
    """Return text escaped as by `shown`, except for colour codes, which are this program's own."""
    parts = _COLOUR.split(text)
    return "".join(part if i % 2 else shown(part) for i, part in enumerate(parts))


def _spelled(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def say(
    text: str = "", *, file: TextIO | None = None, end: str = "\n", flush: bool = False
) -> None:
    """Print text, by default to standard output; characters that cannot be encoded become "?"."""
    file = sys.stdout if file is None else file
    put(file, shown(str(text)) + end)
    if flush:
        file.flush()


LONGEST = 120
"""Number of characters of a path that an error message shows."""


def told_os(error: OSError) -> str:
    """Return an `OSError` as one line: the path and the reason."""
    what = error.strerror or str(error) or type(error).__name__
    name = "" if error.filename is None else str(error.filename)
    shown_name = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
    return f"{shown_name}: {what}" if name else what


def complain(error: object) -> None:
    """Print an error to standard error, in one line."""
    say(f"transfergrid: {one_line(str(error))}", file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """Print a warning to standard error."""
    say(f"transfergrid: warning: {one_line(line)}", file=sys.stderr, flush=True)


def put(file: TextIO, text: str) -> None:
    """Write safe text without escaping; characters that the file's encoding lacks become "?"."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    file.write(text.encode(encoding, "replace").decode(encoding))


_HEARD: ContextVar[Callable[[str], object] | None] = ContextVar("heard", default=None)


@contextmanager
def hearing(tell: Callable[[str], object]) -> Iterator[None]:
    """Send each line about left-out results to a listener during the block, for every ledger."""
    token = _HEARD.set(tell)
    try:
        yield
    finally:
        _HEARD.reset(token)


def tell(line: str) -> None:
    """Send a line about left-out results to the listener of `hearing`, if there is one."""
    heard = _HEARD.get()
    if heard is not None:
        heard(line)


def roughly(seconds: float) -> str:
    """Return a rough time as text: "about 40 s", "about 7 min", "about 2 h 10 min"."""
    if seconds < 15:
        return "some seconds"
    if seconds < 100:
        return f"about {round(seconds, -1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    hours, rest = divmod(round(minutes, -1), 60)
    return f"about {hours} h" + (f" {rest} min" if rest else "")
