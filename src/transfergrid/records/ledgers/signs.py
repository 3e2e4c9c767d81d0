"""The progress of running cells, read from the claims in a ledger by any process on any machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents
from transfergrid.records.files.border import Checked, Reader, is_time
from transfergrid.records.ledgers.claims import FOLDER, Claims, holder_in

Count = Annotated[int, Field(ge=0)]


class Told(TypedDict, total=False):
    """The progress of a cell, as its process writes it into the claim."""

    label: str
    """The cell in words, see `Cell.label`."""
    grid: str | None
    """Identity of the grid that requested the cell."""
    worker: Count
    """Number of the worker among the workers of its process."""
    since: Annotated[str, Checked(is_time)]
    """ISO 8601 time at which the worker received the cell."""
    doing: str
    """The current stage outside the cell's own steps, such as the training of its source."""
    step: Count
    steps: Count
    to_go: float | None
    """Estimated seconds until this process has run all of its cells."""


class _Claim(TypedDict, total=False):
    told: Told


_claim: Reader[_Claim] = Reader(_Claim)


@dataclass(frozen=True)
class Sign:
    """A cell that a process holds, or held when it died."""

    cell: str
    told: Told
    host: str
    process: int
    silence: float
    """Seconds since the last heartbeat."""
    lives: bool


def signs(root: Path) -> list[Sign]:
    """Return who holds which cell, ordered by host, process and worker.

    Args:
        root: the ledger's folder.
    """
    if not (root / FOLDER).is_dir():
        return []
    claims = Claims(root)
    newest = claims.newest()
    living = claims.others(newest)
    found = [_sign(claims, cell, place, cell in living) for cell, place in newest.items()]
    return sorted(filter(None, found), key=_order)


def _sign(claims: Claims, cell: str, place: Path, lives: bool) -> Sign | None:
    silence = claims.silence(place)
    if silence is None:  # released meanwhile
        return None
    holder = holder_in(place)
    host = holder.place.partition(" ")[0]
    return Sign(cell, _told(place), host, holder.process, silence, lives)


def _told(place: Path) -> Told:
    try:
        return _claim(contents.read_bytes(place)).get("told", {})
    except (OSError, BadInputError):
        return {}


def _order(sign: Sign) -> tuple[str, int, int, str]:
    return sign.host, sign.process, sign.told.get("worker", 0), sign.cell
