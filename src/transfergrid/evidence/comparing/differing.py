"""In what two records differ besides what came out: config, code, versions, machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transfergrid.records.record import Record


@dataclass(frozen=True)
class Difference:
    """One thing that is another one in the second look."""

    what: str
    """Such as "config strategy.lr", "code", "torch" or "seeds"."""
    before: str
    after: str


def differences(before: Record, after: Record) -> list[Difference]:
    """Return in what two cells differ that might explain another score; config first."""
    pairs: dict[str, tuple[Any, Any]] = {}
    ours, theirs = dict(_flat(before.config)), dict(_flat(after.config))
    for key in dict.fromkeys((*ours, *theirs)):
        pairs[f"config {key}"] = (ours.get(key), theirs.get(key))
    pairs["source weights"] = (_fingerprint(before), _fingerprint(after))
    pairs["code of the strategy"] = (before.code[:8], after.code[:8])
    pairs["commit"] = ((before.commit or "")[:8], (after.commit or "")[:8])
    for name in sorted({*before.versions, *after.versions}):
        pairs[name] = (before.versions.get(name), after.versions.get(name))
    for name in ("device", "threads", "precision", "platform"):
        pairs[name] = (getattr(before.machine, name), getattr(after.machine, name))
    return [
        Difference(what, spelled(one), spelled(other))
        for what, (one, other) in pairs.items()
        if one != other
    ]


def spelled(value: Any) -> str:
    """Write a value in short; "none" for nothing."""
    return "none" if value in (None, "") else str(value)


def _fingerprint(record: Record) -> str:
    return str((record.source or {}).get("fingerprint") or "")[:8]


def _flat(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value); what a component says about itself is no setting of it."""
    for key, value in node.items():
        if key == "about":
            continue
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
