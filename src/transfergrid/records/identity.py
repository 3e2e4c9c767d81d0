"""The identity of a cell: a hash of everything that can change its score, and of nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from transfergrid.records import shipped
from transfergrid.records.cell import PROTOCOL, Labels, Names, Parts, title
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build, locate
from transfergrid.records.files.fingerprints import fingerprint
from transfergrid.records.files.whole import EXACT, whole_number
from transfergrid.records.needs import Needs

LARGEST_SEED = 2**63 - 1
"""The index stores seeds as signed 64-bit integers."""


def canonical(config: Any, protocol: int = PROTOCOL) -> Any:
    """Return a config in canonical form, in which equal configs have equal values.

    Descriptions are dropped, paths are replaced by fingerprints of their contents, 2.0 becomes 2.
    """
    if isinstance(config, Mapping):
        return _canonical_node(config, protocol)
    if isinstance(config, (list, tuple)):
        return [canonical(item, protocol) for item in config]
    if isinstance(config, float) and config.is_integer():
        return int(config)
    return config


def _canonical_node(node: Mapping[str, Any], protocol: int) -> Config:
    about = node.get("about") or {}
    left_out = {"about", *about.get("descriptive", ())}
    left_out |= {key for key in about.get("optional", ()) if node.get(key) is None}
    if about.get("content"):
        left_out |= set(about.get("paths", ()))
    values = {key: canonical(v, protocol) for key, v in node.items() if key not in left_out}
    for key in about.get("paths", ()):
        if values.get(key) is not None:
            values[key] = fingerprint(values[key])
    if about.get("content"):
        values["about.content"] = build(node).content()
    if about.get("amended"):
        values |= {f"about.{key}": value for key, value in build(node).amendments().items()}
    if isinstance(label := values.get("label"), list) and len(label) == 1:
        values["label"] = label[0]  # one column and a list of one column mean the same
    if "only" in about.get("optional", ()) and isinstance(only := values.get("only"), list):
        values["only"] = sorted({str(name) for name in only})  # classes are ordered by the domain
    if values.get("duplicates") == "drop":
        values |= _copy_search(node)
    if "_target_" in node:  # as `about.version`, because a constructor may take a `version` too
        values["about.version"] = about.get("version", 1)
        told = str(node["_target_"])
        name = shipped.name_of(told) if protocol > 1 else None
        values["_target_"] = name or told  # a shipped part may move to another file
    return values


def _copy_search(node: Mapping[str, Any]) -> Config:
    """Return the version of a domain's search for duplicates, or nothing if it is version 1."""
    search = getattr(locate(str(node.get("_target_"))), "copy_search", None)
    version = search() if search else 1
    return {"about.copy_search": version} if version > 1 else {}


def digest(value: Any) -> str:
    """Return 16 hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def part_digest(part: Any, protocol: int = PROTOCOL) -> str:
    """Return the digest of a part in canonical form; it differs from protocol to protocol."""
    return digest(part if protocol == 1 else [protocol, part])


def config_digest(config: Any, protocol: int = PROTOCOL) -> str:
    """Return the digest of a config after it is brought to canonical form."""
    return part_digest(canonical(config, protocol), protocol)


def architecture_of(source: Config) -> Config:
    """Return the architecture of a source, or else of the source that it wraps (its `of`).

    Raises:
        BadInputError: neither names an architecture.
    """
    architecture: Config | None = source.get("architecture")
    if not architecture and not isinstance(source.get("of"), Mapping):
        raise BadInputError("a source names no architecture")
    return architecture or architecture_of(source["of"])


def learner_of(source: Config, strategy: Config) -> Config:
    """Return the architecture that learns and predicts: a strategy's `student`, or the source's."""
    student: Config | None = strategy.get("student")
    return student or architecture_of(source)


def start_of(source: Config) -> Config | None:
    """Return the config of the weights before training on the source domain; None if random."""
    key = (source.get("about") or {}).get("start")
    if key is None:
        return _weights(source)
    start: Config | None = source.get(key)
    return start


def _weights(source: Config) -> Config:
    """Return a source's config without its `domain`, if its weights were not trained on it here."""
    if (source.get("about") or {}).get("start"):
        return source
    kept = {key: value for key, value in source.items() if key != "domain"}
    return {**kept, "of": _weights(kept["of"])} if isinstance(kept.get("of"), dict) else kept


def known_domain(source: Config | None, needs: Needs) -> Config | None:
    """Return the source domain whose classes the target must share under these needs, if any.

    That is where a strategy needs the same classes and uses source domains or the source's head.
    """
    if source is None or needs.classes != "same":
        return None
    domain: Config | None = (
        source.get("domain") if needs.domains or needs.source == "head" else None
    )
    return domain


def learned_domain(source: Config | None, needs: Needs) -> Config | None:
    """Return the domain whose classes count as seen, where classes are given by descriptions.

    It is the domain that the strategy learns from, or else the domain that the weights were trained
    on here. None if there is neither, or if the strategy uses no descriptions.
    """
    if source is None or not needs.describes:
        return None
    domain: Config | None = (source if needs.domains else _weights(source)).get("domain")
    return domain


def source_part(source: Config | None, needs: Needs, protocol: int = PROTOCOL) -> Any:
    """Return the part of a source that a strategy with these needs uses, in canonical form.

    What the strategy does not use is left out, because it cannot change the score.
    """
    if source is None or needs.source == "none":
        return None
    if needs.source == "architecture":
        return {"architecture": canonical(architecture_of(source), protocol)}
    if needs.source == "domain":
        return {"domain": canonical(source.get("domain"), protocol)}
    if needs.source == "start":
        part = {"architecture": canonical(architecture_of(source), protocol)}
        part["start"] = canonical(start_of(source), protocol)
    else:
        part = canonical(_weights(source), protocol)
    if needs.domains:
        part["domain"] = canonical(source.get("domain"), protocol)
        if source.get("label_noise") and needs.source_labels:
            seed = source.get("seed")
            part |= {"label_noise": canonical(source["label_noise"], protocol), "seed": seed}
    return part


def read_labels(value: Any) -> Labels:
    """Return a label budget in normal form: 0, a whole number per class, or "all".

    Raises:
        BadInputError: the value is none of these.
    """
    if str(value) == "all":
        return "all"
    number = whole_number(value)
    if number is None or number < 0:
        told = "give 0, a whole number per class, or all"
        raise BadInputError(f"labels={value}: {told}{_several('labels', value)}")
    return number


def read_seed(value: Any) -> int:
    """Return a seed as an int.

    Raises:
        BadInputError: the value is not a whole number from 0 on, or takes more than 63 bits.
    """
    number = whole_number(value)
    if number is None or number < 0:
        told = " (as a whole number: a float this large may have been another)"
        rounded = isinstance(value, float) and value >= EXACT
        told = told if rounded else _several("seed", value)
        raise BadInputError(f"seed={value}: give a whole number from 0{told}")
    if number > LARGEST_SEED:
        raise BadInputError(f"seed={value}: give a number below 2^63, which tables can hold")
    return number


def _several(key: str, value: Any) -> str:
    """Return a hint on how to type several values, if the value looks like an attempt at that."""
    if any(str(value).count(a) > str(value).count(b) for a, b in ("()", "[]")):
        return "; a bracket is not closed"
    ends = re.fullmatch(r"(\d+)\s*(?:-|–|\.\.+|\\?:|to)\s*(\d+)", str(value))
    if ends is None or int(ends[1]) >= int(ends[2]):
        return ""
    return f"; for several write {key}='range({ends[1]},{int(ends[2]) + 1})', or commas"


def group_of(names: Names, labels: Labels, parts: Parts) -> str:
    """Return the group name under which a tracker collects the runs that differ only in their seed.

    It ends with a digest of the parts and the label budget, because different parts may share a
    name.
    """
    told = {name: part for name, part in asdict(parts).items() if (name, part) != ("tuning", None)}
    return f"{title(names, labels)} {digest([told, labels])[:6]}"


def cell_id(parts: Parts, labels: Labels, seed: int, protocol: int = PROTOCOL) -> str:
    """Return the identity of the cell with these part digests, label budget and seed."""
    return cell_ids(parts, labels, (seed,), protocol)[0]


def cell_ids(
    parts: Parts, labels: Labels, seeds: Iterable[int], protocol: int = PROTOCOL
) -> list[str]:
    """Return the identities of cells that differ only in their seed, in the order of `seeds`."""
    begun, found = _begun(parts, labels, protocol), []
    for seed in seeds:
        whole = begun.copy()
        whole.update(f",{seed}]".encode())
        found.append(str(whole.hexdigest()[:16]))
    return found


@lru_cache(maxsize=100_000)
def _begun(parts: Parts, labels: Labels, protocol: int) -> Any:
    """Return the hash state of everything but the seed, which many cells have in common."""
    digests = (parts.source, parts.strategy, parts.target, parts.training)
    tuned = [parts.tuning] if parts.tuning else []  # left out, so that older identities stay valid
    text = json.dumps([protocol, *digests, *tuned, labels], separators=(",", ":"))
    return hashlib.sha256(text.removesuffix("]").encode())


def given(needs: Needs, labels: Labels) -> Labels:
    """Return the label budget that a strategy with these needs gets: 0 if it uses no labels."""
    return 0 if needs.target_labels == "unused" else labels


def identity_of(config: Config, needs: Needs, protocol: int = PROTOCOL) -> tuple[Parts, str]:
    """Return the part digests and the identity of a cell, given its full plain config."""
    source, training, tuning = config["source"], config["training"], config.get("tuning")
    part = source_part(source, needs, protocol)
    parts = Parts(
        source=None if part is None else part_digest(part, protocol),
        strategy=config_digest(config["strategy"], protocol),
        target=config_digest(config["target"], protocol),
        training=config_digest(training, protocol) if training and needs.steps else None,
        tuning=config_digest(tuning, protocol) if tuning else None,
    )
    return parts, cell_id(parts, given(needs, config["labels"]), config["seed"], protocol)
