"""Read files that others have made, without waiting for pipes or devices in their place."""

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
    """Return the status of a file or folder, to be checked before it is opened.

    Opening a pipe would block for ever, and a device may have no end.

    Raises:
        OSError: the path does not exist, or is neither a file nor a folder.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "a pipe, a socket or a device, not a file", str(path))
    return status


def read_bytes(path: Path) -> bytes:
    """Return the contents of a file.

    Raises:
        OSError: the path cannot be read, or is not a file.
    """
    status_of(path)
    return path.read_bytes()


def parsed(text: T, decode: Callable[[T], Any] = json.loads) -> Any:
    """Return the value of JSON text, parsed by `decode`.

    Raises:
        ValueError: the text is not JSON (`JSONDecodeError`), is nested too deeply, or has a number
            with too many digits for Python.
    """
    try:
        return decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError as error:
        raise ValueError("a number of too many digits") from error
