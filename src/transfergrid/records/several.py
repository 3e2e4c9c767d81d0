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


def in_links(source: Config, strategy: Mapping[str, Any]) -> Config:
    """Return a source whose domains stand in the order in which a chain goes through them.

    Args:
        source: its config.
        strategy: its arguments; without `links` the source stays as it is. Where they are null the
            domains stand by name.

    Raises:
        BadInputError: `links` are not the names of all domains, each once.
    """
    domain = source.get("domain")
    if "links" not in strategy or not domain or not is_of_several(domain):
        return source
    names = [str(name) for name in domain.get("names") or ()]
    if not names:
        return source
    links = strategy["links"] or sorted(names)
    if sorted(map(str, links)) != sorted(names):
        raise BadInputError(
            f"strategy.links=[{','.join(map(str, links))}] must name each domain of the source "
            f"once, in the order in which they are learned: {', '.join(sorted(names))}"
        )
    order = [names.index(str(link)) for link in links]
    parts = [domain[PARTS][place] for place in order]
    return with_domain(source, {**domain, PARTS: parts, "names": [names[p] for p in order]})


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
