"""Copies of a target's test examples in the domain that a source is made from or learned beside."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.copies.duplicates import copies_between, counted, remembered
from transfergrid.data.copies.found import Copies
from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import Config
from transfergrid.records.identity import config_digest
from transfergrid.records.needs import Needs


@dataclass(frozen=True)
class SourceCopies:
    """What was found in a source domain.

    Attributes:
        notes: test examples with an "exact" and with a "near" copy there, and source examples
            "dropped"; empty where there is nothing to search.
        kept: places (n,) of the source examples that may be learned from beside the target; None
            for all.
    """

    notes: dict[str, Any] = field(default_factory=dict)
    kept: NDArray[np.int64] | None = None


def source_copies(source: Config | None, needs: Needs, target: OpenDomain) -> SourceCopies:
    """Count the copies in the domain of a cell's source, and leave them out where asked to.

    They are left out of what is learned beside the target, not of what a source was trained on
    once for all targets. Domains that were drawn by this program have no copies to look for.
    """
    config = json.loads(target.key)
    domain = _learned_from(source, needs)
    if domain is None or "duplicates" not in domain or "duplicates" not in config:
        return SourceCopies()
    copies = _found(domain, config, target, bool(needs.domains))
    drops = bool(needs.domains) and config["duplicates"] == "drop"
    kept = np.flatnonzero(~copies.pool) if drops else None
    dropped = int(copies.pool.sum()) if drops else 0
    return SourceCopies({**counted(copies), "dropped": dropped}, kept)


def _learned_from(source: Config | None, needs: Needs) -> Config | None:
    """Return the domain whose examples reach the cell: side by side, or through weights."""
    if source is None or needs.source == "none":
        return None
    trained_on_it = needs.source in ("weights", "head") and (source.get("about") or {}).get("start")
    domain: Config | None = source.get("domain") if needs.domains or trained_on_it else None
    return domain


def _found(domain: Config, config: Config, target: OpenDomain, opens: bool) -> Copies:
    modality, key = target.domain.modality, config_digest([domain, config])
    known = None if opens else remembered(modality, key)  # saves opening the source domain
    return known or copies_between(OpenDomain(domain).loaded.pool, target.loaded, modality, key)
