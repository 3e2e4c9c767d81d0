"""In what two records differ besides what came out: config, code, versions, machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transfergrid.records.record import Record

WEIGHTS = "source weights"
"""What `circumstances` calls their fingerprint."""
TOLERANCE = 1e-6
"""Largest difference of scores and probabilities that is called the same."""


@dataclass(frozen=True)
class Difference:
    """One thing that is another one in the second look."""

    what: str
    """Such as "config strategy.lr", "code", "torch" or "seeds"."""
    before: str
    after: str


def differences(before: Record, after: Record) -> list[Difference]:
    """Return in what two cells differ that might explain another score; config first."""
    config = differing(dict(_flat(before.config)), dict(_flat(after.config)))
    return [*config, *differing(circumstances(before), circumstances(after))]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return by name what is not the same on both sides, or on one side only."""
    joined = ((name, before.get(name), after.get(name)) for name in {**before, **after})
    return [Difference(name, spelled(a), spelled(b)) for name, a, b in joined if a != b]


def distance(one: float | None, other: float | None) -> float:
    """Return how far two scores lie apart: endlessly, where only one of them is there."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def circumstances(record: Record) -> dict[str, Any]:
    """Return with what and where a cell was run, by name."""
    machine = ("device", "threads", "precision", "platform")
    return {
        WEIGHTS: str((record.source or {}).get("fingerprint") or "")[:8],
        "code of the strategy": record.code[:8],
        "commit": (record.commit or "")[:8],
        **dict(sorted(record.versions.items())),
        **{name: getattr(record.machine, name) for name in machine},
    }


def spelled(value: Any) -> str:
    """Write a value in short; "none" for nothing."""
    return "none" if value in (None, "") else str(value)


def _flat(node: Mapping[str, Any], path: str = "config ") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value); what a component says about itself is no setting of it."""
    for key, value in node.items():
        if key == "about":
            continue
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
