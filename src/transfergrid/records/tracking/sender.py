"""The process that uploads runs to W&B's server while trackers still write them.

    python -m transfergrid.records.tracking.sender FOLDER MODE

FOLDER holds the runs and their `Outbox`. The process works until its standard input ends. Then it
uploads what is left, as long as the server accepts it, and prints how many runs it uploaded and how
many are left. No cell waits for it. The upload itself is done by `wandb sync` in subprocesses.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from transfergrid.records.process import orphans, stopping
from transfergrid.records.tracking.outbox import Outbox

LOOK = 0.5
"""Seconds between two checks for runs to upload."""
LIVE_AFTER, MOST_LIVE = 10.0, 8
"""Seconds after which a run is uploaded while it is still written, and how many such runs at once;
other runs are uploaded after they end."""
MOST = 200
"""Largest number of runs for one `wandb sync`."""
PATIENCE = 20.0
"""Seconds without progress after which an upload is stopped."""
ANSWERS = 5.0
"""Timeout in seconds for an answer of the server."""
BREAKS = 5
"""After this many runs that failed on their own, the sender pauses too."""
PAUSES = (5.0, 300.0)
"""Seconds until a failed server is tried again: the first pause, and the longest (they double)."""
TOO_MANY, ITS_FAULT = 429, 500
"""HTTP status codes: too many requests, and the first of the server errors."""


def answers(server: str) -> bool:
    """Return whether a server accepts requests now; no data is sent to it.

    A server whose certificate cannot be verified counts too, because W&B may know the certificate.
    """
    try:
        with urllib.request.urlopen(server, timeout=ANSWERS):
            return True
    except urllib.error.HTTPError as error:
        return error.code != TOO_MANY and error.code < ITS_FAULT
    except urllib.error.URLError as error:
        return "CERTIFICATE" in str(error.reason)
    except (OSError, ValueError, http.client.HTTPException):
        return False


@dataclass
class _Sync:
    """A running `wandb sync`."""

    process: subprocess.Popen[bytes]
    runs: list[str]
    moved: float = field(default_factory=time.monotonic)
    """Time of its last progress, by the monotonic clock."""

    def stop(self) -> None:
        """Kill the process and its child processes."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Sender:
    """Uploads the runs of an outbox.

    Args:
        outbox: the outbox.
        server: URL of the server.
    """

    def __init__(self, outbox: Outbox, server: str) -> None:
        self.outbox, self.server = outbox, server
        self.taken: dict[str, float] = {}
        """Runs that are to be uploaded, and when they were taken, by the monotonic clock."""
        self.sent = 0
        self._live: dict[str, _Sync] = {}
        self._tried_live: set[str] = set()
        self._batch: _Sync | None = None
        self._again, self._pause = 0.0, PAUSES[0]
        self._most, self._broken = MOST, list[str]()

    def look(self) -> None:
        """Check the running uploads, and start more."""
        now = time.monotonic()
        self.taken.update(dict.fromkeys(self.outbox.take(), now))
        self._count()
        if now < self._again:
            return
        whole = [run for run in self._idle() if self.outbox.is_whole(run)]
        if whole and self._batch is None and self._may():
            self._batch = self._begun(["sync"], whole[: self._most])
        for run in self._idle():
            old = now - self.taken[run] > LIVE_AFTER and run not in self._tried_live
            if old and run not in whole and len(self._live) < MOST_LIVE and self._may():
                self._tried_live.add(run)
                self._live[run] = self._begun(["beta", "sync", "--live"], [run])

    def close(self) -> None:
        """Upload what is left, for as long as the server accepts it; give back the other runs."""
        for run, sync in [*self._live.items()]:
            if not self.outbox.is_whole(run):
                sync.stop()
        self._again, moved, before = 0.0, time.monotonic(), -1
        while True:
            self.look()
            busy = self._batch is not None or self._live
            left = [run for run in self.taken if self.outbox.is_whole(run)]
            left = [run for run in left if run not in self._broken]
            if self.sent != before:
                moved, before = time.monotonic(), self.sent
            idle = not busy and time.monotonic() < self._again
            if not left or idle or time.monotonic() - moved > PATIENCE:
                break
            time.sleep(0.1)
        self.stop()
        for run in self.taken:
            self.outbox.give_back(run)

    def stop(self) -> None:
        """Stop all running uploads."""
        for sync in filter(None, [self._batch, *self._live.values()]):
            sync.stop()

    def _idle(self) -> list[str]:
        """Return the taken runs that no upload is working on, the oldest first."""
        busy = {*self._live, *self._broken, *(self._batch.runs if self._batch else ())}
        return [run for run in self.taken if run not in busy]

    def _may(self) -> bool:
        """Return whether the server answers; if not, schedule a pause before the next try."""
        if answers(self.server):
            return True
        self._rest()
        return False

    def _rest(self) -> None:
        self._again = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, PAUSES[1])

    def _count(self) -> None:
        """Count the runs that were uploaded, and stop uploads that ended or make no progress."""
        now = time.monotonic()
        arrived = [run for run in self.taken if self.outbox.is_sent(run)]
        for run in arrived:
            del self.taken[run]
            self.outbox.remove(run)
            self.sent += 1
        for run, sync in [*self._live.items()]:
            grows = not self.outbox.is_whole(run) and sync.process.poll() is None
            sync.moved = now if grows else sync.moved
            if sync.process.poll() is not None or now - sync.moved > PATIENCE:
                sync.stop()
                del self._live[run]
        if self._batch is None:
            return
        if not {*self._batch.runs}.isdisjoint(arrived):
            self._batch.moved, self._pause = now, PAUSES[0]
        if self._batch.process.poll() is None and now - self._batch.moved <= PATIENCE:
            return
        ended, failed = self._batch.process.poll(), [r for r in self._batch.runs if r in self.taken]
        self._batch.stop()
        self._batch = None
        if not failed:
            self._most = MOST
            return
        self._most = max(1, len(failed) // 2)  # halved, to isolate a run that W&B fails on
        alone = failed if len(failed) == 1 else []
        self._broken += alone
        if ended is None or (alone and len(self._broken) % BREAKS == 0):
            self._rest()

    def _begun(self, words: Sequence[str], runs: list[str]) -> _Sync:
        places = [str(self.outbox.folder / run) for run in runs]
        told = {
            "WANDB_MODE": "online",
            "WANDB_BASE_URL": self.server,
            "WANDB_DIR": tempfile.gettempdir(),  # for the logs of wandb sync itself
        }
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "wandb", *words, *places],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **told},
            start_new_session=True,
        )
        return _Sync(process, runs)


def main(arguments: Sequence[str]) -> int:
    """Run as a program; return the exit code."""
    from transfergrid.records.tracking.wandb_tracker import imported, own_mode

    folder, mode = arguments
    orphans.end_with_parent()
    stopping.obey()
    if (own_mode() if mode == "auto" else mode) != "online":
        return 0
    sender = Sender(Outbox(Path(folder)), str(imported().setup().settings.base_url))
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    try:
        while not ended.wait(LOOK):
            sender.look()
        sender.close()
    finally:
        sender.stop()
    print(json.dumps({"sent": sender.sent, "kept": len(sender.taken)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
