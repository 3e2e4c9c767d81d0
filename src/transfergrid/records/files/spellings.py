"""Names that may mean the same thing although they are spelled differently.

Files are made by several people and programs: one writes 7, another 7.0 or 007; one types P7,
another p7; one saves é as one character, another as two. To a computer these are different names,
and a patient with two names would end up in both training and test.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation

NAMED = 3
"""How many sets of names, and how many names of a set, a message shows."""
MISSING = frozenset(
    {"", "none", "null", "nil", "na", "n/a", "#n/a", "nan", "nat", "<na>", "missing", "?", "-", "."}
)
"""What programs and people write for a missing value, in lower case."""
LONGEST_NUMBER = 20
"""Longest text that is compared as a number, in characters; `Decimal` rounds at 28 digits."""
BETWEEN = ("; ", ";", "|", ", ", ",", " + ", "+", "/", " & ", "&")
"""Separators between the labels of an example that has several labels."""
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,300})(\.0*)?")
_LEADING_ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")
_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015]+")
_LETTER_AND_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_UNSEEN = frozenset("\u034f\u115f\u1160\u3164\uffa0")
"""Invisible fillers and joiners that Unicode categories do not reveal."""


def seen(name: str) -> str:
    """Return a name as a reader sees it: composed letters, nothing invisible, single spaces."""
    if name.isascii() and name.isprintable():
        return " ".join(name.split())
    kept = "".join(c for c in unicodedata.normalize("NFC", name) if not _is_invisible(c))
    return " ".join(unicodedata.normalize("NFC", kept).split())


def _is_invisible(character: str) -> bool:
    if character.isspace():
        return False
    selects_a_variant = "\ufe00" <= character <= "\ufe0f"
    hidden = unicodedata.category(character) in ("Cc", "Cf")
    return hidden or selects_a_variant or character in _UNSEEN


def same(name: str) -> str:
    """Return a key that is equal for names that look the same or are the same integer (7, 7.0)."""
    text = seen(name)
    return str(int(Decimal(text))) if _WHOLE.fullmatch(text) else text


def near(name: str) -> str:
    """Return a key that is the same whatever a name's case, width, leading zeros and separators."""
    text = unicodedata.normalize("NFKC", seen(name)).casefold()
    text = _LEADING_ZEROS.sub("", _SEPARATORS.sub("-", text))
    return _value(text) or _LETTER_AND_DIGIT.sub("-", text)


def _value(text: str) -> str | None:
    """Return a short number in canonical spelling; None for other text, such as a long id."""
    try:
        value = Decimal(text) if len(text) <= LONGEST_NUMBER else None
    except InvalidOperation:
        return None
    if value is None or not value.is_finite() or abs(value.adjusted()) > LONGEST_NUMBER:
        return None
    return str((value + 0).normalize())  # so that -0 is 0


def alike(names: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    """Return the sets of different names with equal keys, each with the shortest name first."""
    found: dict[str, list[str]] = {}
    for name in sorted(set(names), key=lambda name: (len(name), name)):
        found.setdefault(key(name), []).append(name)
    return sorted(spelled for spelled in found.values() if len(spelled) > 1)


def listed(sets: Sequence[Sequence[str]]) -> str:
    """Return sets of names as text: "'7' and '7.0', 'P7' and 'p7', ...", all characters visible."""
    told = [" and ".join(map(shown, spelled[:NAMED])) for spelled in sets[:NAMED]]
    return ", ".join(told) + (", ..." if len(sets) > NAMED else "")


def shown(name: str) -> str:
    """Return a name in quotes; if it has invisible or unusual characters, these are escaped."""
    return repr(name) if seen(name) == name else ascii(name)


def together(name: str, others: Iterable[str]) -> list[str]:
    """Return the parts of a name such as "a;b", if all of them are in `others`; else nothing."""
    known = {same(other) for other in others}
    for mark in BETWEEN:
        parts = [part.strip() for part in name.split(mark)]
        if len(parts) > 1 and all(same(part) in known for part in parts):
            return parts
    return []


def is_number(name: str) -> bool:
    """Return whether a name is a short number, such as 7, 3.5 or 1e5."""
    return _value(seen(name)) is not None


def is_missing(name: str) -> bool:
    """Return whether a name looks like a marker for a missing value."""
    return seen(name).casefold() in MISSING
