"""Upload runs to W&B's server while a grid runs; the grid waits for uploads only at its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from transfergrid.records.printing import say, warn
from transfergrid.records.process.orphans import scratch_for, within
from transfergrid.records.tracking.outbox import FOLDER
from transfergrid.records.tracking.tracker import Tracker
from transfergrid.records.tracking.wandb_tracker import WandbTracker

COMMAND = (sys.executable, "-P", "-m", "transfergrid.records.tracking.sender")
SOON = 2.0
"""Seconds after the end of a grid before it prints that it waits for uploads."""


@dataclass
class Sent:
    """The outcome of the uploads, filled in when the block of `sending` ends.

    Attributes:
        sent: number of runs that were uploaded.
        kept: number of runs that the server did not accept.
    """

    sent: int = 0
    kept: int = 0


@contextmanager
def sending(tracker: Tracker, results: Path) -> Iterator[Sent]:
    """Upload during the block the runs that trackers write, in this process and in workers.

    A separate process uploads them.

    Args:
        tracker: the tracker; for other trackers than W&B's, or offline, nothing is started.
        results: the folder of results that the runs belong to.
    """
    found = Sent()
    if not isinstance(tracker, WandbTracker) or not _may_be_online(tracker):
        yield found
        return
    folder = tracker.kept_in(results)
    scratch = scratch_for("sender")
    process = _started(folder, tracker.mode, scratch)
    try:
        yield found
    finally:
        found.__dict__.update(_ended(process))
        shutil.rmtree(scratch, ignore_errors=True)
    if found.kept:
        runs = folder if tracker.folder or os.environ.get("WANDB_DIR") else results / FOLDER
        warn(f"W&B did not take all runs ({found.kept}): wandb sync {runs}/offline-run-*")


def _may_be_online(tracker: WandbTracker) -> bool:
    asked = os.environ.get("WANDB_MODE", "online") if tracker.mode == "auto" else tracker.mode
    return asked not in ("offline", "dryrun", "disabled")


def _started(folder: Path, mode: str, scratch: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [*COMMAND, str(folder), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **within(scratch), "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C reaches only the grid
    )


def _ended(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Wait while the process uploads what is left; return its counts, empty if Ctrl-C ended it."""
    told = b""
    try:
        try:
            told, _ = process.communicate(timeout=SOON)
        except subprocess.TimeoutExpired:
            say("bringing the last runs up to W&B (Ctrl-C: later, by wandb sync)", flush=True)
            told, _ = process.communicate()
    except KeyboardInterrupt:
        say("the rest is left for wandb sync")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            process.send_signal(signal.SIGTERM)
        process.wait()
    try:
        return {key: int(count) for key, count in json.loads(told or b"{}").items()}
    except ValueError:
        return {}
