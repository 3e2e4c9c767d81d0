"""Scores on disk: `scores/<digest>.json` in a ledger's folder, one file a source and seed block."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from transfergrid.records import contents
from transfergrid.records.border import Reader
from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import PROTOCOL, Labels, canonical, digest, source_part
from transfergrid.records.ledger import Ledger
from transfergrid.records.needs import Needs
from transfergrid.runs.plan import Option
from transfergrid.runs.scores.base import Value

VERSION = 1
"""Raised whenever the features that scores are computed from change for all alike."""
USES = (
    Needs(),
    Needs(source_domain=True),
    Needs(source="start", source_domain=True),
)
"""What strategies take of a source, each with a digest of its own in the cells' records."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A source and a target in one seed block: what scores are computed for."""

    source: Option
    target: Option
    labels: Labels
    seed: int

    @property
    def source_parts(self) -> tuple[str, ...]:
        """The source's digests as cells' records have them, the one without its domain first."""
        return source_parts(self.source)

    @property
    def id(self) -> str:
        """Identity of the pair: 16 hex digits."""
        domain = canonical(self.source.config.get("domain"))
        parts = [self.source_parts[0], domain, self.target.digest]
        return digest([PROTOCOL, VERSION, *parts, self.labels, self.seed])

    @property
    def label(self) -> str:
        """The pair in words."""
        return f"{self.source.name} for {self.target.name}, labels={self.labels}, seed={self.seed}"


@lru_cache(maxsize=512)
def source_parts(source: Option) -> tuple[str, ...]:
    """Return the digests of a source under each way in which strategies use it."""
    return tuple(dict.fromkeys(digest(source_part(source.config, needs)) for needs in USES))


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


def missing(kept: Kept | None, scores: Iterable[Option]) -> list[Option]:
    """Return those of the scores that are not kept."""
    return [score for score in scores if kept is None or score.digest not in kept.values]


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
