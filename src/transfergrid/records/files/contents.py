"""Files that others have made: what is no file is not waited for."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", str, bytes)


def status_of(path: Path) -> os.stat_result:
    """Return the status of a file or folder, before it is opened.

    A pipe in a file's place would be waited for, for ever, and a device may have no end.

    Raises:
        OSError: there is none, or it is something else.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "a pipe, a socket or a device, not a file", str(path))
    return status


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    status_of(path)
    return path.read_bytes()


def parsed(text: T, decode: Callable[[T], Any] = json.loads) -> Any:
    """Return what JSON holds, taken apart by `decode`.

    Raises:
        ValueError: it is none (`JSONDecodeError`), or holds more than Python reads.
    """
    try:
        return decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError as error:
        raise ValueError("a number of too many digits") from error
