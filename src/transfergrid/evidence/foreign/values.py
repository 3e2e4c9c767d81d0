"""Parsing of the fields of a table: a name, a number of labels, a score."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from transfergrid.evidence.foreign.columns import PERCENT
from transfergrid.records.cell import Labels
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.spellings import seen
from transfergrid.records.files.whole import whole_number

MISSING = frozenset(
    {"", "nan", "+nan", "-nan", "<na>", "na", "n/a", "null", "none", "nat", "-", "–", "—"}
)
"""Lowercase spellings of a missing value."""
ALL = frozenset({"all", "full"})
"""Lowercase spellings for "all labels were used"."""
_MEAN = re.compile(
    r"(?P<mean>[-+]?[\d.]+(?:e[-+]?\d+)?)\s*%?\s*(?:±|\+/?-|\\pm|\$\\pm\$|\()\s*[\d.]+\s*%?\s*\)?",
    re.IGNORECASE,
)
_COMMA = re.compile(r"[-+]?\d+,\d+\s*%?")


@dataclass(frozen=True)
class Score:
    """A score as written in a table."""

    value: float | None
    """None for a failed run."""
    percent: bool = False
    """Whether it has a per cent sign."""


def is_missing(value: Any) -> bool:
    """Return whether a table's value means that it is missing."""
    return value is None or str(value).strip().lower() in MISSING


def name_in(value: Any) -> str | None:
    """Return a name as a reader sees it; None if it is missing."""
    return None if is_missing(value) else seen(str(value)) or None


def needed(value: Any, column: str, place: str) -> str:
    """Return a name that must not be missing.

    Raises:
        BadInputError: it is missing.
    """
    name = name_in(value)
    if name is None:
        raise BadInputError(f"{place} has no {column}")
    return name


def labels_in(value: Any, place: str, labels_are: str) -> Labels:
    """Return a label budget.

    Raises:
        BadInputError: it is neither a whole number nor all.
    """
    text = str(value).strip().lower()
    if text in ALL or text.replace(" ", "") == "100%":
        return "all"
    share = text.endswith("%")
    if share and labels_are != PERCENT:
        raise BadInputError(
            f"{place}: labels {value!r} are a share of all: --labels-are percent reads them so"
        )
    number = whole_number(text.removesuffix("%").strip())
    if number is None or number < 0:
        shown = "nothing" if is_missing(value) else repr(value)
        raise BadInputError(f"{place}: labels must be a whole number or all, not {shown}")
    return "all" if labels_are == PERCENT and number == 100 else number


def score_in(value: Any, place: str, means: bool) -> Score:
    """Return a score.

    Args:
        value: the field of the table.
        place: the row's place, for error messages.
        means: whether to read "71.2 ± 0.4" as its mean.

    Raises:
        BadInputError: it is not a number; the message suggests known remedies.
    """
    if is_missing(value):
        return Score(None)
    text = str(value).strip()
    mean = _MEAN.fullmatch(text)
    if mean and not means:
        raise BadInputError(
            f"{place}: the score {value!r} is a mean and its spread, of runs that cannot be paired "
            "any more: give a row for each run; --means takes it for one run, as --block over "
            "tasks can do with"
        )
    percent = "%" in text
    try:
        number = float(mean["mean"] if mean else text.removesuffix("%").strip())
    except ValueError:
        comma = ": write the decimal comma as a point" if _COMMA.fullmatch(text) else ""
        raise BadInputError(f"{place}: the score {value!r} is no number{comma}") from None
    return Score(number if math.isfinite(number) else None, percent)
