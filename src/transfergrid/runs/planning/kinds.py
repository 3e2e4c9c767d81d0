"""What a part of a grid holds, takes, learns or brings, told by its config. No torch."""

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
    """Return the kind of task that a domain's labels are, by the metric that scores them.

    Numbers that are the entries of a matrix are a kind of their own.
    """
    if getattr(locate(target["_target_"]), "of_entries", False):
        return ENTRIES
    return kind_of(str(target.get("metric")))


def modality(config: Config) -> str:
    """Return what an architecture takes, or a domain holds: "image", "text" or "vector"."""
    if (inner := config.get("domain")) is not None:  # whose examples it takes
        return modality(inner)
    return str(getattr(locate(config["_target_"]), "modality", "image"))


def has_labels(part: Config) -> bool:
    """Return whether a domain has labels, or a source has learned from such."""
    return not (part.get("about") or {}).get("unlabelled")


def is_labelled(source: Option) -> bool:
    """Return whether labels of a source's domain are known, where it has a domain."""
    domains = parts_of(source.config.get("domain"))
    return has_labels(source.config) and all(map(has_labels, domains))


def is_episodic(target: Config) -> bool:
    """Return whether a target is made of episodes."""
    return bool(getattr(locate(target["_target_"]), "episodic", False))


def taken_by(source: Option) -> str:
    """Return what a source's network takes, or what its domain holds where it has none."""
    network = brings_network(source.config)
    return modality(architecture_of(source.config) if network else source.config)


def brings_network(source: Config) -> bool:
    """Return whether a source brings a network, or stands beside one that does."""
    of = source.get("of")
    return bool(source.get("architecture")) or (isinstance(of, dict) and brings_network(of))
