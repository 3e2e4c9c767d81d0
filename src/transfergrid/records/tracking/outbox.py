"""Runs that are to be brought up to a server, noted beside them until they are there.

    outbox/<run>.open     the run is to be sent; who writes it
    outbox/<run>.taken    a process is sending it
    outbox/<run>.done     nothing more is written into it

Who renames `.open` to `.taken` sends the run, and nobody else. What could not be sent is given
back, for the next process that sends, or for `wandb sync`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from transfergrid.records.files import folders
from transfergrid.records.ledgers.claims import holder_in
from transfergrid.records.process.living import this_process

FOLDER = "wandb"
"""What W&B calls the folder that it puts its runs in."""
OPEN, TAKEN, DONE = ".open", ".taken", ".done"


class Outbox:
    """What is to be sent of the runs in a folder; troubles of the disk only leave them there.

    Args:
        folder: that holds a folder for each run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / "outbox"

    def put(self, run: str) -> None:
        """Note that a run, which this process writes, is to be sent."""
        with suppress(OSError):
            self.place.mkdir(parents=True, exist_ok=True)
            draft = self.place / f".{run}"
            draft.write_text(json.dumps(this_process()._asdict()))
            draft.replace(self._note(run, OPEN))

    def end(self, run: str) -> None:
        """Note that nothing more is written into a run."""
        with suppress(OSError):
            self._note(run, DONE).touch()

    def take(self) -> list[str]:
        """Return runs that nobody sent yet; from now on they are this process's to send."""
        here = [name for name in folders.listed(self.place) if name.endswith(OPEN)]
        return [run for name in here if self._moved(run := name.removesuffix(OPEN), OPEN, TAKEN)]

    def give_back(self, run: str) -> None:
        """Leave a run that was taken to others."""
        self._moved(run, TAKEN, OPEN)

    def remove(self, run: str) -> None:
        """Forget a run that was taken: it is where it was to go."""
        for state in (DONE, TAKEN):
            with suppress(OSError):
                self._note(run, state).unlink()
        with suppress(OSError):
            self.place.rmdir()  # as soon as nothing else is in it

    def is_whole(self, run: str) -> bool:
        """Return whether nothing more comes into a run that was taken, as far as it is known."""
        return self._note(run, DONE).exists() or holder_in(self._note(run, TAKEN)).is_gone()

    def is_sent(self, run: str) -> bool:
        """Return whether W&B says of a run that all of it is on the server, or none needs to be."""
        return any((self.folder / run).glob("*.wandb.synced"))

    def _note(self, run: str, state: str) -> Path:
        return self.place / f"{run}{state}"

    def _moved(self, run: str, before: str, after: str) -> bool:
        try:
            self._note(run, before).rename(self._note(run, after))
        except OSError:
            return False
        return True
