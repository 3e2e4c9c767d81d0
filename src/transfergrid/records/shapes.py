"""The shape of what a record holds as free JSON, as far as anybody reads it: configs, card, notes.

Keys that are not here may hold anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from transfergrid.records.arguments import Whole
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.border import Reader

PARTS = ("source", "strategy", "target", "training", "tuning")

_OPEN = {"extra": "allow", "strict": True}


class Needs(TypedDict, total=False):
    """What a strategy takes; see `strategies.needs`."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    source: str
    teacher: bool


class About(TypedDict, total=False):
    """What a component says of itself; see `component`."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    needs: Needs | None
    start: str | None
    paths: list[str] | tuple[str, ...]
    descriptive: list[str] | tuple[str, ...]
    modality: str


class Node(TypedDict, total=False):
    """A component's config."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    _target_: str
    about: About | None


class Card(TypedDict, total=False):
    """What a source said of itself, and what making it took."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    steps: Whole
    train_examples: Whole
    train_labels: Whole
    seconds: float
    card: dict[str, Any] | None


class Copies(TypedDict, total=False):
    """How many examples have copies."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    exact: Whole
    near: Whole
    dropped: Whole


class Notes(TypedDict, total=False):
    """What a domain says of itself."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    cut_texts: dict[str, Whole] | None
    duplicates: Copies | None
    source_copies: Copies | None
    columns: list[str] | None
    untested: list[str] | None


_node: Reader[Any] = Reader(Node)


def config(found: dict[str, Any]) -> dict[str, Any]:
    """Return a cell's config.

    Raises:
        ValueError: a part is no mapping, or describes itself in a way that nobody can read.
    """
    for part in PARTS:
        if not isinstance(found.get(part), Mapping | None):
            raise ValueError(f"{part} is no mapping of keys")
    _check(found, "")
    return found


def _check(value: Any, where: str) -> None:
    if isinstance(value, dict):
        if value.get("about") or not isinstance(value.get("_target_", ""), str):
            try:
                _node.of(value)
            except BadInputError as error:
                place = where.lstrip(".")
                raise ValueError(f"{place}: {error}" if place else str(error)) from None
        for key, inside in value.items():
            if isinstance(inside, (dict, list)):
                _check(inside, f"{where}.{key}")
    elif isinstance(value, list):
        for inside in value:
            _check(inside, where)
