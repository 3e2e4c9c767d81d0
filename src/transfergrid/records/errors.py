"""What a person did wrong, told in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class BadInputError(Exception):
    """A request that cannot be met as it was typed; printed as one line, exit code 2."""


class ImpossibleError(BadInputError):
    """A method cannot be used with this network or source; a grid leaves such cells out."""


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Tell as bad input what a disk does not take of what is written to a place."""
    try:
        yield
    except OSError as error:
        raise BadInputError(f"cannot write {place}: {error.strerror or error}") from error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean X?"`` for the nearest known word, else the choices there are."""
    choices = sorted(known)
    folded = {choice.casefold(): choice for choice in choices}
    near = get_close_matches(word, choices, n=1, cutoff=0.6) or [
        folded[match] for match in get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    ]
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there is {', '.join(choices)}" if choices else ""


def check_known(kind: str, word: str, known: Iterable[str]) -> None:
    """Raise `BadInputError` unless `word` is one of the `known` names of this `kind`."""
    choices = list(known)
    if word not in choices:
        raise BadInputError(f"unknown {kind} {word!r}{did_you_mean(word, choices)}")


def check_key(path: Sequence[str], node: Any, where: str) -> None:
    """Raise unless a path leads to a key that its component takes.

    A node with `_target_` takes the keys it has; a node without one, such as `options`, any.
    """
    for depth, key in enumerate(path):
        if not isinstance(node, dict):
            return
        known = [name for name in node if name not in ("_target_", "about")]
        if key not in known and "_target_" in node:
            place = ".".join([where.partition("=")[0], *path[:depth], key])
            raise BadInputError(f"{where} has no key {place}{did_you_mean(key, known)}")
        node = node.get(key)
