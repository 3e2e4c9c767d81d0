"""What a person did wrong, told in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from signal import Signals
from types import MappingProxyType
from typing import Any

NONE: Mapping[str, str] = MappingProxyType({})


class BadInputError(Exception):
    """A request that cannot be met as it was typed; printed as one line, exit code 2."""


class ImpossibleError(BadInputError):
    """A method cannot be used with this network or source; a grid leaves such cells out."""


class KilledError(Exception):
    """A process that trained a cell beside this one was killed: the cell is no worse than before.

    Args:
        signal: what killed it.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(
            f"a process that trained this cell too was ended by {Signals(signal).name}"
        )
        self.signal = signal


def as_line(error: BaseException, most: int | None = None) -> str:
    """Return what an error says as one line, or the name of its class where it says nothing.

    Args:
        error: any.
        most: characters at most; None for all.
    """
    return " ".join(str(error).split())[:most] or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says that says anything, or the name of its class."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Tell as bad input what a disk does not take of what is written to a place."""
    try:
        yield
    except OSError as error:
        raise BadInputError(f"cannot write {place}: {error.strerror or error}") from error


def did_you_mean(word: str, known: Iterable[str], also_called: Mapping[str, str] = NONE) -> str:
    """Return ``"; did you mean X?"`` for the nearest known word, else the choices there are.

    Args:
        word: as typed.
        known: the words that would have been right.
        also_called: other usual names, each with the known word that it stands for. They are
            compared without regard to capitals and to what stands between words.
    """
    choices = sorted(known)
    others = {_bare(other): name for other, name in also_called.items()}
    near = others.get(_bare(word)) or _nearest(word, {c: c for c in choices}, 0.6)
    near = near or _nearest(word.casefold(), {c.casefold(): c for c in choices}, 0.6)
    near = near or _nearest(_bare(word), others, 0.75)
    if near:
        return f"; did you mean {near}?"
    return f"; there is {', '.join(choices)}" if choices else ""


def _nearest(word: str, known: Mapping[str, str], cutoff: float) -> str:
    found = get_close_matches(word, known, n=1, cutoff=cutoff)
    return known[found[0]] if found else ""


def _bare(name: str) -> str:
    """Return a name's letters and digits in small letters."""
    return re.sub(r"[\W_]", "", name).casefold()


def check_known(
    kind: str, word: str, known: Iterable[str], also_called: Mapping[str, str] = NONE
) -> None:
    """Raise `BadInputError` unless `word` is one of the `known` names of this `kind`.

    It then says which known name is meant; see `did_you_mean`.
    """
    choices = list(known)
    if word not in choices:
        raise BadInputError(f"unknown {kind} {word!r}{did_you_mean(word, choices, also_called)}")


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
