"""Transferability scores on disk: `scores/<id>.json` in a ledger, one file per pair and seed block.

A pair is a source and a target with a label budget.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from transfergrid.records.cell import Labels
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents
from transfergrid.records.files.border import Reader
from transfergrid.records.ledgers.ledger import Ledger

VERSION = 1
"""Version of the files; raised whenever the features that all scores are computed from change."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """The value of one score for a source and a target; the fields are the keys of the file."""

    value: float | None
    """None if the score is undefined."""
    reason: str | None = None
    """Why it is undefined."""
    low: float | None = None
    """The smallest possible value on these features; None if it is unbounded."""
    high: float | None = None
    out_of_bounds: bool = False
    """Whether the value is impossible: a sign of a numerical failure, shown and never clipped."""
    remarks: tuple[str, ...] = ()
    """Caveats: reasons why the value means less than it seems to."""
    higher_is_better: bool = True
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The scores of a pair; the keys of `values` are digests of the scores' configs."""

    id: str
    source_parts: tuple[str, ...]
    target_part: str
    source: str
    target: str
    labels: Labels
    seed: int
    notes: dict[str, Any]
    """Number of embedded examples, width, the source's fingerprint, where posteriors come from."""
    values: dict[str, Value]
    names: dict[str, str]
    """From the digest of a score's config to the score's name."""
    seconds: float
    """Seconds for loading and embedding, for all scores together."""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    schema: int = VERSION

    def value(self, score: str) -> Value | None:
        """Return the newest value of a score by its name; None if there is none."""
        found = [digest for digest, name in self.names.items() if name == score]
        return self.values.get(found[-1]) if found else None


def read(ledger: Ledger, identity: str) -> Kept | None:
    """Return the scores stored under an identity.

    Returns:
        None if there are none, or, with a warning, if they cannot be read.
    """
    path = ledger.root / "scores" / f"{identity}.json"
    try:
        return _read(contents.read_bytes(path))
    except FileNotFoundError:
        return None
    except (OSError, BadInputError) as error:
        ledger.leave_out(path, error)
        return None


def read_all(ledger: Ledger) -> list[Kept]:
    """Return the scores of all pairs, by identity; unreadable files are left out and named."""
    return ledger.documents("scores", _read)


def write(ledger: Ledger, kept: Kept) -> None:
    """Store the scores of a pair, completely or not at all; the last of two writers wins."""
    with ledger.draft() as draft:
        text = json.dumps(asdict(kept), indent=1, allow_nan=False)
        (draft / "scores.json").write_text(text, encoding="utf-8")
        (ledger.root / "scores").mkdir(exist_ok=True)
        (draft / "scores.json").replace(ledger.root / "scores" / f"{kept.id}.json")


_read: Reader[Kept] = Reader(Kept)
