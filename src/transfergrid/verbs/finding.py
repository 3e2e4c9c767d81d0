"""Finding a done cell by the prefix of its id that a user typed."""

from __future__ import annotations

import re
from difflib import get_close_matches

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import folders
from transfergrid.records.ledgers.ledger import Ledger

SHORTEST = 4
SHOWN = 8
"""The number of digits shown of a cell's id: enough to distinguish many thousands."""
_BEGINNING = re.compile(r"[0-9a-f]{1,16}")


def find_cell(ledger: Ledger, typed: str) -> str:
    """Return the id of the only done cell whose id begins as typed.

    Raises:
        BadInputError: no cell or several match, or too few digits were typed.
    """
    ledger.check_exists()
    wanted = typed.strip().lower()
    if not _BEGINNING.fullmatch(wanted) or len(wanted) < SHORTEST:
        raise BadInputError(
            f"{typed!r} is no cell's id: give it, or its first {SHORTEST} or more hex digits "
            f"(transfergrid list cells{where(ledger)} shows them)"
        )
    found = [name for name in _names(ledger, wanted[:2]) if name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(name[: max(SHOWN, len(wanted) + 2)] for name in found[:3])
        more = ", ..." if len(found) > 3 else ""
        raise BadInputError(
            f"{len(found)} cells begin with {wanted}: {some}{more}; type more of it"
        )
    raise BadInputError(f"no done cell begins with {wanted}{_instead(ledger, wanted)}")


def _names(ledger: Ledger, shelf: str) -> list[str]:
    return folders.names(ledger.root / "cells" / shelf)


def _instead(ledger: Ledger, wanted: str) -> str:
    tried = [n for n in folders.names(ledger.root / "attempts") if n.startswith(wanted)]
    if tried:
        return f"; {tried[0][:SHOWN]} failed: see {ledger.root / 'attempts' / tried[0]}"
    shelves = folders.names(ledger.root / "cells")
    begins = {n[: len(wanted)]: n for shelf in shelves for n in _names(ledger, shelf)}
    near = get_close_matches(wanted, list(begins)[:20_000], n=1, cutoff=0.7)
    if near:
        return f"; did you mean {begins[near[0]][: max(SHOWN, len(wanted))]}?"
    return f"; transfergrid list cells{where(ledger)} shows all"


def where(ledger: Ledger) -> str:
    """Return the option that names the ledger's folder; empty for the default folder."""
    return "" if str(ledger.root) == "results" else f" --results {ledger.root}"
