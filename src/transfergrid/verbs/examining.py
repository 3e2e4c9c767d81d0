"""Run a done cell again, for diagnostics that it did not record the first time."""

from __future__ import annotations

import tempfile
from dataclasses import replace

from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.runs.launching.worker import reason_of, run
from transfergrid.verbs.comparing import compare
from transfergrid.verbs.reproducing import cell_again, machine_of


def examined(ledger: Ledger, record: Record) -> Record:
    """Return the record with full diagnostics, after running its cell again outside the ledger.

    Raises:
        BadInputError: the cell cannot be run, or has other results now.
    """
    cell, machine = cell_again(record), {**machine_of(record), "diagnostics": "full"}
    with tempfile.TemporaryDirectory(prefix="transfergrid-") as folder:
        try:
            again = run(cell, Ledger(folder), machine)
        except BadInputError:
            raise
        except Exception as error:  # it did not fail when it was recorded
            raise BadInputError(f"it was done, and now it fails: {reason_of(error)}") from error
        lines = compare(record, again, ledger, Ledger(folder))
    other = [line.what for line in lines if line.is_different]
    if other:
        raise BadInputError(
            f"run again it is another cell ({', '.join(other)}): what it notes now tells nothing "
            f"of it; transfergrid reproduce {record.id[:8]} shows the difference"
        )
    return replace(record, diagnostics=again.diagnostics)
