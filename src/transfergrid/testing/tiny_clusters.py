"""The tiny domains for clustering: labels serve only to score."""

from __future__ import annotations

from dataclasses import dataclass

from transfergrid.testing.tiny import TinyDomain
from transfergrid.testing.tiny_text import TinyTextDomain
from transfergrid.testing.tiny_vectors import TinyVectorDomain

METRIC = "nmi"


@dataclass(frozen=True, kw_only=True)
class TinyClusters(TinyDomain):
    """Pictures of three kinds."""

    metric: str = METRIC


@dataclass(frozen=True, kw_only=True)
class TinyTextClusters(TinyTextDomain):
    """Texts of three kinds."""

    metric: str = METRIC


@dataclass(frozen=True, kw_only=True)
class TinyVectorClusters(TinyVectorDomain):
    """Vectors of three kinds."""

    metric: str = METRIC
