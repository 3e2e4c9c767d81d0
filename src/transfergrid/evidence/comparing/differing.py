"""How two records differ besides their outcome: config, code, versions, machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transfergrid.records.record import Record

WEIGHTS = "source weights"
"""The key of their fingerprint in `circumstances`."""
TOLERANCE = 1e-6
"""The largest difference of scores and probabilities that counts as equal."""


@dataclass(frozen=True)
class Difference:
    """One value that differs in the second look."""

    what: str
    """What differs, such as "config strategy.lr", "code", "torch" or "seeds"."""
    before: str
    after: str


def differences(before: Record, after: Record) -> list[Difference]:
    """Return the differences of two cells that might explain a different score; config first."""
    config = differing(dict(_flat(before.config)), dict(_flat(after.config)))
    return [*config, *differing(circumstances(before), circumstances(after))]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return by name the values that differ, or are only on one side."""
    joined = ((name, before.get(name), after.get(name)) for name in {**before, **after})
    return [Difference(name, spelled(a), spelled(b)) for name, a, b in joined if a != b]


def distance(one: float | None, other: float | None) -> float:
    """Return the absolute difference of two scores; infinite if only one of them is known."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def circumstances(record: Record) -> dict[str, Any]:
    """Return the circumstances of a run by name: weights, code, versions and machine."""
    machine = ("device", "threads", "precision", "platform")
    return {
        WEIGHTS: str((record.source or {}).get("fingerprint") or "")[:8],
        "code of the strategy": record.code[:8],
        "commit": (record.commit or "")[:8],
        **dict(sorted(record.versions.items())),
        **{name: getattr(record.machine, name) for name in machine},
    }


def spelled(value: Any) -> str:
    """Return a value as text; "none" if it is None or empty."""
    return "none" if value in (None, "") else str(value)


def _flat(node: Mapping[str, Any], path: str = "config ") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value), without what a component says about itself."""
    for key, value in node.items():
        if key == "about":
            continue
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
