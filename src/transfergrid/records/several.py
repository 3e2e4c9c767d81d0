"""Configs of sources with several domains: list the domains, order them, split the source.

Several domains form a set. They are always sorted by their digests, so that neither the identity
nor the result depends on the order in which they were typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.identity import config_digest
from transfergrid.records.needs import Needs

TARGET = "transfergrid.data.several_domains.SeveralDomains"
"""Dotted path of the class that joins several domains."""
PARTS = "parts"
"""The argument of that class that holds the domains."""


def is_of_several(domain: Mapping[str, Any] | None) -> bool:
    """Return whether a domain's config joins several domains."""
    told = str((domain or {}).get("_target_"))
    return told.rpartition(".")[2] == TARGET.rpartition(".")[2]


def parts_of(domain: Config | None) -> list[Config]:
    """Return the domains that a domain's config joins; a single domain as a list of one."""
    if domain is None:
        return []
    return list(domain[PARTS]) if is_of_several(domain) else [domain]


def in_one_order(parts: Sequence[Config]) -> list[int]:
    """Return the indices that sort domains into their canonical order, that of their digests."""
    digests = [config_digest(part) for part in parts]
    return sorted(range(len(parts)), key=digests.__getitem__)


def order_of(source: Config, needs: Needs, strategy: Mapping[str, Any]) -> list[str]:
    """Return the names of a source's domains in the order in which a strategy learns them.

    Args:
        source: config of the source.
        needs: needs of the strategy; `ordered_by` names the argument that holds the order.
        strategy: arguments of the strategy.

    Returns:
        An empty list if the strategy learns the domains as a set, if there is only one domain, or
        if the domains have no names and no order was requested.

    Raises:
        BadInputError: the requested order does not name each domain exactly once.
    """
    domain = source.get("domain")
    if not needs.ordered_by or not is_of_several(domain):
        return []
    names = [str(name) for name in (domain or {}).get("names") or ()]
    asked = [str(name) for name in strategy.get(needs.ordered_by) or sorted(names)]
    if sorted(asked) != sorted(names):
        known = ", ".join(sorted(names)) or "they have no names, SeveralDomains(names=...)"
        raise BadInputError(
            f"strategy.{needs.ordered_by}=[{','.join(asked)}] must name each domain of the source "
            f"once, in the order in which they are learned: {known}"
        )
    return asked


def in_order(source: Config, needs: Needs, strategy: Mapping[str, Any]) -> Config:
    """Return a source's config with its domains in the order in which a strategy learns them.

    Args:
        source: config of the source; if `order_of` is empty it is returned unchanged.
        needs: needs of the strategy.
        strategy: arguments of the strategy.

    Raises:
        BadInputError: the requested order does not name each domain exactly once.
    """
    order = order_of(source, needs, strategy)
    if not order:
        return source
    domain = source["domain"]
    names = [str(name) for name in domain["names"]]
    parts = [domain[PARTS][names.index(name)] for name in order]
    return with_domain(source, {**domain, PARTS: parts, "names": order})


def usual_order(source: Config | None, needs: Needs, strategy: Config) -> Config:
    """Return a strategy's arguments, with the order set to null if it equals the default order.

    So the same cell has the same identity whether or not the default order was typed.

    Raises:
        BadInputError: the requested order does not name each domain exactly once.
    """
    key = needs.ordered_by
    if source is None or not key or strategy.get(key) is None:
        return strategy
    order = order_of(source, needs, strategy)
    return {**strategy, key: None} if order and order == sorted(order) else strategy


def joined(parts: Sequence[Config], names: Sequence[str], about: Config) -> Config:
    """Return the config that joins several domains, in canonical order.

    Args:
        parts: the config of each domain.
        names: the name of each domain.
        about: the `about` block of the joining class.
    """
    order = in_one_order(parts)
    return {
        "_target_": TARGET,
        PARTS: [parts[place] for place in order],
        "names": [names[place] for place in order],
        "metric": parts[order[0]].get("metric", "accuracy"),
        "sampling": "balanced",
        "part_of": [],
        "about": about,
    }


def domain_of(source: Mapping[str, Any]) -> Config | None:
    """Return the domain of a source, or else of the source that it wraps (its `of`)."""
    inner = source.get("of")
    domain: Config | None = source.get("domain")
    return domain_of(inner) if domain is None and isinstance(inner, Mapping) else domain


def with_domain(source: Config, domain: Config | None) -> Config:
    """Return a source's config with its domain replaced by another."""
    inner = source.get("of")
    if source.get("domain") is None and isinstance(inner, Mapping):
        return {**source, "of": with_domain(dict(inner), domain)}
    return {**source, "domain": domain}


def each_alone(source: Config) -> list[Config]:
    """Return one source config for each domain of a source."""
    return [with_domain(source, part) for part in parts_of(domain_of(source))]
