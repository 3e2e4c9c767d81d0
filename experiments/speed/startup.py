"""How long a person waits: for the first line, the first finished cell, an answer to a mistake.

Whole processes in empty folders, by the clock on the wall, after one that warms the page cache.
Run by `run.py 7`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from side_by_side import Arm, Experiment, Found, Told, Wanted, peak_mb_of_others

PROGRAM = [sys.executable, "-m", "transfergrid.verbs.cli"]
PART = ["source.architecture.options.foo=1"]
"""A mistake that only building the network finds."""
WORDS = {
    "--help": ["--help"],
    "unknown key": ["sorce=timm"],
    "unknown strategy": ["strategy=full_finetunning"],
    "unknown value in a list": ["-m", "strategy=scratch,skratch"],
    "unknown key in a group": ["strategy=full_finetuning", "strategy.lr_fctor=2"],
    "impossible labels": ["labels=-1"],
}
PATIENCE = 60.0
"""Seconds that a command is given to end once it is asked to."""


def first_cell(told: Told) -> Found:
    """Run the program as it comes until a cell is done."""
    _until([*PROGRAM], lambda line: True)
    seconds = _until([*PROGRAM], lambda line: line.endswith(": done"))
    first, last = seconds[0], seconds[-1]
    return {
        "wall": last,
        "cells": 1,
        "peak": peak_mb_of_others(),
        "first line s": first,
        "first cell s": last,
    }


def _until(command: Sequence[str], is_last: Callable[[str], bool]) -> list[float]:
    """Run a command until such a line, and return when each came, in seconds from the start."""
    with tempfile.TemporaryDirectory() as folder:
        started, found = time.perf_counter(), []
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            found.append(time.perf_counter() - started)
            if is_last(line.rstrip()):
                break
        _end(process)
    return found


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a command and its workers to end, and see to it that they do."""
    group = os.getpgid(process.pid)
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(group, signal.SIGKILL)
        process.communicate()


def refusal(told: Told) -> Found:
    """Ask for a network that cannot be built."""
    return {"wall": _seconds(PART), "cells": 1, "peak": peak_mb_of_others()}


def words(told: Told) -> Found:
    """Ask for help, and make mistakes that show before anything is built."""
    found = {name: _seconds(given) for name, given in WORDS.items()}
    return {"wall": max(found.values()), "cells": 1, "peak": peak_mb_of_others(), **found}


def _seconds(given: Sequence[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run([*PROGRAM, *given], cwd=folder, capture_output=True, check=False)
        return time.perf_counter() - started


ARMS = {"first_cell": first_cell, "refusal": refusal, "words": words}


def experiment() -> Experiment:
    """Return it."""
    started, refused, typed = (
        "to the first finished cell",
        "a network that cannot be built",
        "words",
    )
    arms = {started: Arm("first_cell"), refused: Arm("refusal"), typed: Arm("words")}
    wanted = [
        Wanted("from Enter to the first line, s", started, most=2, key="first line s"),
        Wanted("to the first finished cell, s", started, most=20, key="first cell s"),
        Wanted("to the refusal of a part that cannot be built, s", refused, most=6, key="wall"),
        Wanted(
            "help, or the answer to a mistake in words, the slowest, s", typed, most=1, key="wall"
        ),
    ]
    return Experiment("from Enter", "startup", arms, wanted)
