"""What scores are computed for: a source and a target in a seed block, and which are missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from transfergrid.records.cell import PROTOCOL, Labels
from transfergrid.records.identity import canonical, digest, part_digest, source_part
from transfergrid.records.needs import Needs
from transfergrid.records.scores import VERSION, Kept
from transfergrid.runs.planning.plan import Option

USES = (
    Needs(),
    Needs(domains=1),
    Needs(source="start", domains=1),
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
    return tuple(dict.fromkeys(part_digest(source_part(source.config, needs)) for needs in USES))


def missing(kept: Kept | None, scores: Iterable[Option]) -> list[Option]:
    """Return those of the scores that are not kept."""
    return [score for score in scores if kept is None or score.digest not in kept.values]
