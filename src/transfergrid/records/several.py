"""Sources of several domains, in their configs: which domains, and each source by itself.

Several domains are a set. Whatever the order in which they were typed, they stand in one order of
their own, that of their digests, so that neither identity nor result depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.identity import config_digest
from transfergrid.records.needs import Needs

TARGET = "transfergrid.data.several_domains.SeveralDomains"
"""The class of several domains."""
PARTS = "parts"
"""Its argument that holds them."""


def is_of_several(domain: Mapping[str, Any] | None) -> bool:
    """Return whether a domain's config is that of several ones."""
    told = str((domain or {}).get("_target_"))
    return told.rpartition(".")[2] == TARGET.rpartition(".")[2]


def parts_of(domain: Config | None) -> list[Config]:
    """Return the domains that a domain's config is made of; one that is no set is alone."""
    if domain is None:
        return []
    return list(domain[PARTS]) if is_of_several(domain) else [domain]


def in_one_order(parts: Sequence[Config]) -> list[int]:
    """Return the places of parts in the order that they have whichever was typed."""
    digests = [config_digest(part) for part in parts]
    return sorted(range(len(parts)), key=digests.__getitem__)


def order_of(source: Config, needs: Needs, strategy: Mapping[str, Any]) -> list[str]:
    """Return the names of a source's domains in the order in which a strategy learns them.

    Args:
        source: its config.
        needs: of the strategy; by `ordered_by` it says how it is told the order.
        strategy: its arguments.

    Returns:
        Nothing where the domains are a set, or only one, or have no names and none is asked for.

    Raises:
        BadInputError: what was asked for are not the names of all domains, each once.
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
    """Return a source whose domains stand in the order in which a strategy learns them.

    Args:
        source: its config; where `order_of` says nothing it stays as it is.
        needs: of the strategy.
        strategy: its arguments.

    Raises:
        BadInputError: what was asked for are not the names of all domains, each once.
    """
    order = order_of(source, needs, strategy)
    if not order:
        return source
    domain = source["domain"]
    names = [str(name) for name in domain["names"]]
    parts = [domain[PARTS][names.index(name)] for name in order]
    return with_domain(source, {**domain, PARTS: parts, "names": order})


def usual_order(source: Config | None, needs: Needs, strategy: Config) -> Config:
    """Return a strategy's arguments, the order null where the one typed is what null stands for.

    So that what is the same cell has one identity, however it was typed.

    Raises:
        BadInputError: what was asked for are not the names of all domains, each once.
    """
    key = needs.ordered_by
    if source is None or not key or strategy.get(key) is None:
        return strategy
    order = order_of(source, needs, strategy)
    return {**strategy, key: None} if order and order == sorted(order) else strategy


def joined(parts: Sequence[Config], names: Sequence[str], about: Config) -> Config:
    """Return the config of several domains.

    Args:
        parts: the config of each.
        names: what each is called.
        about: what their class says of itself.
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
    """Return the domain of a source, or of the source that it stands beside."""
    inner = source.get("of")
    domain: Config | None = source.get("domain")
    return domain_of(inner) if domain is None and isinstance(inner, Mapping) else domain


def with_domain(source: Config, domain: Config | None) -> Config:
    """Return a source's config with another domain in the place of its own."""
    inner = source.get("of")
    if source.get("domain") is None and isinstance(inner, Mapping):
        return {**source, "of": with_domain(dict(inner), domain)}
    return {**source, "domain": domain}


def each_alone(source: Config) -> list[Config]:
    """Return a source for each of its domains."""
    return [with_domain(source, part) for part in parts_of(domain_of(source))]
