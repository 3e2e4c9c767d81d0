"""Errors that a user can fix, each reported in one line, and helpers for their messages."""

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
    """A request that cannot be met as given; printed as one line, exit code 2."""


class ImpossibleError(BadInputError):
    """A method that cannot be used with this network or source; a grid leaves such cells out."""


class KilledError(Exception):
    """Another process that helped to train a cell was killed; the cell itself is not at fault.

    Args:
        signal: number of the signal that killed the process.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(
            f"a process that trained this cell too was ended by {Signals(signal).name}"
        )
        self.signal = signal


def as_line(error: BaseException, most: int | None = None) -> str:
    """Return an error's message on one line, or the name of its class if the message is empty.

    Args:
        error: any exception.
        most: largest number of characters of the message; None for no limit.
    """
    return " ".join(str(error).split())[:most] or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, or the name of its class."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Turn an `OSError` in the block into a `BadInputError` that says what cannot be written."""
    try:
        yield
    except OSError as error:
        raise BadInputError(f"cannot write {place}: {error.strerror or error}") from error


def did_you_mean(word: str, known: Iterable[str], also_called: Mapping[str, str] = NONE) -> str:
    """Return ``"; did you mean X?"`` for the most similar known word, else a list of known words.

    Args:
        word: the word as typed.
        known: the valid words.
        also_called: common synonyms, each with the known word that it stands for. They are compared
            by letters and digits only, regardless of case.
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
    """Return only the letters and digits of a name, in lower case."""
    return re.sub(r"[\W_]", "", name).casefold()


def check_known(
    kind: str, word: str, known: Iterable[str], also_called: Mapping[str, str] = NONE
) -> None:
    """Raise `BadInputError` unless `word` is one of the `known` names of this `kind`.

    The message suggests the known name that was probably meant; see `did_you_mean`.
    """
    choices = list(known)
    if word not in choices:
        raise BadInputError(f"unknown {kind} {word!r}{did_you_mean(word, choices, also_called)}")


def check_key(path: Sequence[str], node: Any, where: str) -> None:
    """Raise `BadInputError` unless a path of keys exists in a config.

    A node with `_target_` accepts only the keys that it has. A node without `_target_`, such as
    `options`, accepts any key.

    Args:
        path: the keys, from the outermost one on.
        node: the config that the path starts in.
        where: the override that the path is part of, such as `strategy=finetune`, for the message.
    """
    for depth, key in enumerate(path):
        if not isinstance(node, dict):
            return
        known = [name for name in node if name not in ("_target_", "about")]
        if key not in known and "_target_" in node:
            place = ".".join([where.partition("=")[0], *path[:depth], key])
            raise BadInputError(f"{where} has no key {place}{did_you_mean(key, known)}")
        node = node.get(key)
