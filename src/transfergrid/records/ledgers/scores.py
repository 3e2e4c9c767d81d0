"""Scores on disk: `scores/<digest>.json` in a ledger's folder, one file a source and seed block."""

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
"""Raised whenever the features that scores are computed from change for all alike."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """What a score says of one source and target; keys are those of the kept file."""

    value: float | None
    """None where the score is undefined."""
    reason: str | None = None
    """Why it is undefined."""
    low: float | None = None
    """Its least possible value on these features; None: there is none."""
    high: float | None = None
    out_of_bounds: bool = False
    """The value cannot be: a sign of a numerical failure, shown and never clipped."""
    remarks: tuple[str, ...] = ()
    """What makes it say less than it seems to."""
    higher_is_better: bool = True
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of a pair; `values` are by the digest of the score's config."""

    id: str
    source_parts: tuple[str, ...]
    target_part: str
    source: str
    target: str
    labels: Labels
    seed: int
    notes: dict[str, Any]
    """Examples embedded, width, the source's fingerprint, where posteriors are from."""
    values: dict[str, Value]
    names: dict[str, str]
    """Digest of a score's config to its name."""
    seconds: float
    """Loading and embedding, for all scores together."""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    schema: int = VERSION

    def value(self, score: str) -> Value | None:
        """Return a score by its name."""
        found = [digest for digest, name in self.names.items() if name == score]
        return self.values.get(found[-1]) if found else None


def read(ledger: Ledger, identity: str) -> Kept | None:
    """Return what is kept under an identity; None, with a warning, if it cannot be read."""
    path = ledger.root / "scores" / f"{identity}.json"
    try:
        return _read(contents.read_bytes(path))
    except FileNotFoundError:
        return None
    except (OSError, BadInputError) as error:
        ledger.leave_out(path, error)
        return None


def read_all(ledger: Ledger) -> list[Kept]:
    """Return everything that is kept, by identity; what cannot be read is left out and named."""
    return ledger.documents("scores", _read)


def write(ledger: Ledger, kept: Kept) -> None:
    """Keep the scores of a pair, whole or not at all; the last of two writers wins."""
    with ledger.draft() as draft:
        text = json.dumps(asdict(kept), indent=1, allow_nan=False)
        (draft / "scores.json").write_text(text, encoding="utf-8")
        (ledger.root / "scores").mkdir(exist_ok=True)
        (draft / "scores.json").replace(ledger.root / "scores" / f"{kept.id}.json")


_read: Reader[Kept] = Reader(Kept)
