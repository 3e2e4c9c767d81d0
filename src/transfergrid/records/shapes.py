"""Types of the free-form JSON in a record, as far as code reads it: configs, card, notes.

Other keys may hold anything.
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
    """The needs of a strategy; see `records.needs`."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    source: str
    teacher: bool


class About(TypedDict, total=False):
    """The `about` block of a component; see `component`."""

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
    """The card of a source: its own description, and what it took to make it."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    steps: Whole
    train_examples: Whole
    train_labels: Whole
    seconds: float
    card: dict[str, Any] | None


class Copies(TypedDict, total=False):
    """Numbers of examples that have copies."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    exact: Whole
    near: Whole
    dropped: Whole


class Notes(TypedDict, total=False):
    """Notes of a domain about itself."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    cut_texts: dict[str, Whole] | None
    duplicates: Copies | None
    source_copies: Copies | None
    columns: list[str] | None
    untested: list[str] | None


_node: Reader[Any] = Reader(Node)


def config(found: dict[str, Any]) -> dict[str, Any]:
    """Return a cell's config after checking it.

    Raises:
        ValueError: a part is not a mapping, or has an invalid `_target_` or `about` block.
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
