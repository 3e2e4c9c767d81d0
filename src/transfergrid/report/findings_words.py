"""What strategies found of their own, a record's `told`, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST = 20
"""Numbers of one list, and names of one mapping, that are shown."""


def findings(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each thing that was found, such as `importance: head 1, conv1 0.31`."""
    for name, value in told.items():
        mark = ":" if isinstance(value, (Mapping, list, tuple)) else ""
        yield f"{name.replace('_', ' ')}{mark} {_words(value)}"


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        lists = any(isinstance(part, (Mapping, list, tuple)) for part in value.values())
        pairs = [f"{name} {_words(part)}" for name, part in value.items()]
        return _some(pairs, "; " if lists else ", ")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _some([_words(part) for part in value], ", ")
    return str(value)


def _some(parts: Sequence[str], between: str) -> str:
    more = f"{between}and {len(parts) - MOST} more" if len(parts) > MOST else ""
    return between.join(parts[:MOST]) + more
