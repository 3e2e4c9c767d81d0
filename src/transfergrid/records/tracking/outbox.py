"""The outbox: notes, beside the runs, on runs that are still to be uploaded to a server.

    outbox/<run>.open     the run is to be uploaded; the file says which process writes it
    outbox/<run>.taken    a process is uploading it
    outbox/<run>.done     nothing more will be written into it

Only the process that renames `.open` to `.taken` uploads the run. A run that could not be uploaded
is given back, for the next uploading process or for `wandb sync`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from transfergrid.records.files import folders
from transfergrid.records.ledgers.claims import holder_in
from transfergrid.records.process.living import this_process

FOLDER = "wandb"
"""Name of the folder in which W&B puts its runs."""
OPEN, TAKEN, DONE = ".open", ".taken", ".done"


class Outbox:
    """The runs in a folder that are still to be uploaded; after a disk error they stay there.

    Args:
        folder: the folder with one subfolder per run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / "outbox"

    def put(self, run: str) -> None:
        """Note that a run, which this process writes, is to be uploaded."""
        with suppress(OSError):
            self.place.mkdir(parents=True, exist_ok=True)
            draft = self.place / f".{run}"
            draft.write_text(json.dumps(this_process()._asdict()))
            draft.replace(self._note(run, OPEN))

    def end(self, run: str) -> None:
        """Note that nothing more will be written into a run."""
        with suppress(OSError):
            self._note(run, DONE).touch()

    def take(self) -> list[str]:
        """Take all runs that no process is uploading; this process has to upload them now."""
        here = [name for name in folders.listed(self.place) if name.endswith(OPEN)]
        return [run for name in here if self._moved(run := name.removesuffix(OPEN), OPEN, TAKEN)]

    def give_back(self, run: str) -> None:
        """Give a taken run back, for other processes to upload."""
        self._moved(run, TAKEN, OPEN)

    def remove(self, run: str) -> None:
        """Remove the notes of a taken run, because it was uploaded."""
        for state in (DONE, TAKEN):
            with suppress(OSError):
                self._note(run, state).unlink()
        with suppress(OSError):
            self.place.rmdir()  # succeeds only if it is empty

    def is_whole(self, run: str) -> bool:
        """Return whether a taken run is complete: it was ended, or its writer is gone."""
        return self._note(run, DONE).exists() or holder_in(self._note(run, TAKEN)).is_gone()

    def is_sent(self, run: str) -> bool:
        """Return whether a run is marked as synced: uploaded, or replaced by a newer attempt."""
        return any((self.folder / run).glob("*.wandb.synced"))

    def _note(self, run: str, state: str) -> Path:
        return self.place / f"{run}{state}"

    def _moved(self, run: str, before: str, after: str) -> bool:
        try:
            self._note(run, before).rename(self._note(run, after))
        except OSError:
            return False
        return True
