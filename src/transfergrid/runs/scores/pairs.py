"""Pairs that scores are computed for (source, target, seed block), and which scores are missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from transfergrid.records.cell import PROTOCOL, Labels
from transfergrid.records.identity import canonical, config_digest, digest, part_digest, source_part
from transfergrid.records.ledgers.scores import VERSION, Kept
from transfergrid.records.needs import Needs
from transfergrid.runs.planning.plan import Option

USES = (
    Needs(),
    Needs(domains=1),
    Needs(source="start", domains=1),
)
"""The ways in which strategies use a source; each gives it a different digest in cells' records."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A source and a target in one seed block, for which scores are computed."""

    source: Option
    target: Option
    labels: Labels
    seed: int
    protocol: int = PROTOCOL
    """Protocol of the cells that the source and target belong to."""

    @property
    def source_parts(self) -> tuple[str, ...]:
        """The source's digests as in cells' records; the one without its domain comes first."""
        return source_parts(self.source, self.protocol)

    @property
    def target_part(self) -> str:
        """The target's digest as in cells' records."""
        return target_part(self.target, self.protocol)

    @property
    def id(self) -> str:
        """Identity of the pair: 16 hex digits."""
        domain = canonical(self.source.config.get("domain"), self.protocol)
        parts = [self.source_parts[0], domain, self.target_part]
        return digest([self.protocol, VERSION, *parts, self.labels, self.seed])

    @property
    def label(self) -> str:
        """The pair in words."""
        return f"{self.source.name} for {self.target.name}, labels={self.labels}, seed={self.seed}"


@lru_cache(maxsize=512)
def source_parts(source: Option, protocol: int) -> tuple[str, ...]:
    """Return the digests of a source under each way in which strategies use it."""
    parts = (source_part(source.config, needs, protocol) for needs in USES)
    return tuple(dict.fromkeys(part_digest(part, protocol) for part in parts))


@lru_cache(maxsize=512)
def target_part(target: Option, protocol: int) -> str:
    """Return the digest of a target."""
    return config_digest(target.config, protocol)


def missing(pair: Pair, kept: Kept | None, scores: Iterable[Option]) -> list[Option]:
    """Return the scores of a pair that are not kept.

    Under an earlier protocol kept scores are found by name: digests differ between protocols.
    """
    if kept is None:
        return list(scores)
    if pair.protocol < PROTOCOL:
        return [score for score in scores if kept.value(score.name) is None]
    return [score for score in scores if score.digest not in kept.values]
