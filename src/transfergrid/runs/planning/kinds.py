"""What the parts of a grid hold, take, learn or bring, read from their configs. No torch."""

from __future__ import annotations

from transfergrid.records.factory import Config, locate
from transfergrid.records.identity import architecture_of
from transfergrid.records.metrics import CLASSES, CLUSTERS, ENTRIES, NUMBERS, kind_of
from transfergrid.records.several import parts_of
from transfergrid.runs.planning.plan import Option

PLURAL = {"image": "images", "text": "texts", "vector": "vectors", "matrix": "matrices"}
WHAT = {
    CLASSES: "classes",
    NUMBERS: "numbers",
    CLUSTERS: "clusters (target.metric=nmi or ari)",
    ENTRIES: "entries of a matrix",
}


def task_of(target: Config) -> str:
    """Return the kind of task of a domain, by the metric that scores its labels.

    Entries of a matrix are a kind of their own.
    """
    if getattr(locate(target["_target_"]), "of_entries", False):
        return ENTRIES
    return kind_of(str(target.get("metric")))


def modality(config: Config) -> str:
    """Return the modality that an architecture takes or a domain holds, such as "image"."""
    if (inner := config.get("domain")) is not None:  # a domain made of another one's examples
        return modality(inner)
    return str(getattr(locate(config["_target_"]), "modality", "image"))


def has_labels(part: Config) -> bool:
    """Return whether a domain has labels, or a source has learned from labels."""
    return not (part.get("about") or {}).get("unlabelled")


def is_labelled(source: Option) -> bool:
    """Return whether a source has learned from labels and all its domains, if any, have labels."""
    domains = parts_of(source.config.get("domain"))
    return has_labels(source.config) and all(map(has_labels, domains))


def is_episodic(target: Config) -> bool:
    """Return whether a target is made of episodes."""
    return bool(getattr(locate(target["_target_"]), "episodic", False))


def taken_by(source: Option) -> str:
    """Return the modality of a source's network; without a network, of its domain."""
    network = brings_network(source.config)
    return modality(architecture_of(source.config) if network else source.config)


def brings_network(source: Config) -> bool:
    """Return whether a source brings a network, or wraps one that does (`of`)."""
    of = source.get("of")
    return bool(source.get("architecture")) or (isinstance(of, dict) and brings_network(of))
