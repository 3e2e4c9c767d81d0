"""An ear on the interpreter: what is imported and what is started while files are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.spawn")
OURS = ("git", "nvidia-smi")
"""Programs that this one asks about its own checkout and machine."""

_heard: list[str] | None = None
_names: frozenset[str] = frozenset()
_folder = ""


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _heard is None:
        return
    if event == "import" and str(arguments[0]).partition(".")[0] in _names:
        _heard.append(f"imports {arguments[0]}")
    elif event == "open" and str(arguments[0]).endswith((".py", ".pyc")):
        if os.path.abspath(str(arguments[0])).startswith(_folder):  # noqa: PTH100
            _heard.append(f"opens {arguments[0]}")
    elif event in STARTS or event == "subprocess.Popen":
        program = Path(os.fsdecode(arguments[0] or "?")).name if arguments else "?"
        words = [str(word) for word in arguments[1]] if event == "subprocess.Popen" else []
        if program not in OURS and "transfergrid.runs.launching.worker" not in words:
            _heard.append(f"{event} {program} {words}")


sys.addaudithook(_hook)  # there is no taking it off again, so it has a switch


@contextmanager
def listening(folder: Path) -> Iterator[list[str]]:
    """Give a list that fills with what comes from a folder, or is started, meanwhile.

    Modules count by the names of the files and folders that lie there, and by their files.
    """
    global _heard, _names, _folder
    _names = frozenset(p.stem for p in folder.iterdir() if p.suffix == ".py" or p.is_dir())
    _folder, _heard = str(folder.absolute()), []
    try:
        yield _heard
    finally:
        _heard = None
