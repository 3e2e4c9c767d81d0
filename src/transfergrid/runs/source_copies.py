"""Copies of a target's test examples in the source domain that a cell learns from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.copies.duplicates import copies_between, remembered
from transfergrid.data.copies.found import Copies
from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import Config
from transfergrid.records.identity import config_digest
from transfergrid.records.needs import Needs
from transfergrid.records.several import parts_of


@dataclass(frozen=True)
class SourceCopies:
    """The copies found in a source domain, or in several.

    Attributes:
        notes: number of test examples with an "exact" and with a "near" copy there, and of source
            examples "dropped"; empty if there is nothing to search.
        kept: places (n,) of the source examples that may be learned from beside the target, in the
            union of several domains; None: all.
        each: the same for each domain, as places in that domain.
    """

    notes: dict[str, Any] = field(default_factory=dict)
    kept: NDArray[np.int64] | None = None
    each: tuple[NDArray[np.int64] | None, ...] = ()


def source_copies(source: Config | None, needs: Needs, target: OpenDomain) -> SourceCopies:
    """Count the copies in the domain of a cell's source, and drop them if the target asks for it.

    They are dropped from what is learned beside the target, not from what a source was trained on
    once for all targets. Domains that this program generates are not searched for copies.
    """
    config = json.loads(target.key)
    parts = parts_of(_learned_from(source, needs))
    searched = [part for part in parts if "duplicates" in part]
    if not searched or "duplicates" not in config:
        return SourceCopies()
    found = [_found(part, config, target, bool(needs.domains)) for part in searched]
    exact = np.logical_or.reduce([copies.exact for copies in found])
    near = np.logical_or.reduce([copies.near for copies in found]) & ~exact
    notes = {"exact": int(exact.sum()), "near": int(near.sum()), "dropped": 0}
    if not needs.domains or config["duplicates"] != "drop":
        return SourceCopies(notes)
    others = iter(found)
    each = [_others(next(others)) if part in searched else None for part in parts]
    notes["dropped"] = sum(int(copies.pool.sum()) for copies in found)
    return SourceCopies(notes, _in_union(parts, each), tuple(each))


def _others(copies: Copies) -> NDArray[np.int64]:
    return np.flatnonzero(~copies.pool)


def _in_union(
    parts: Sequence[Config], each: Sequence[NDArray[np.int64] | None]
) -> NDArray[np.int64]:
    """Return the kept places of each domain as places in the union of the domains."""
    found, start = [], 0
    for part, kept in zip(parts, each, strict=True):
        size = len(OpenDomain(part).examples("pool")) if kept is None or len(parts) > 1 else 0
        found.append(start + (np.arange(size, dtype=np.int64) if kept is None else kept))
        start += size
    return np.concatenate(found)


def _learned_from(source: Config | None, needs: Needs) -> Config | None:
    """Return the domain whose examples reach the cell, in batches or through trained weights."""
    if source is None or needs.source == "none":
        return None
    trained_on_it = needs.source in ("weights", "head") and (source.get("about") or {}).get("start")
    domain: Config | None = source.get("domain") if needs.domains or trained_on_it else None
    return domain


def _found(domain: Config, config: Config, target: OpenDomain, opens: bool) -> Copies:
    modality, key = target.domain.modality, config_digest([domain, config])
    known = None if opens else remembered(modality, key)  # saves opening the source domain
    return known or copies_between(OpenDomain(domain).loaded.pool, target.loaded, modality, key)
