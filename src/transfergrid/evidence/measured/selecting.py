"""Selection of cells: `--where 'target=digits labels=2,20 source!=placebo seed<3'`.

Conditions are separated by spaces and all must hold. `=` and `!=` take a list of names, with the
wildcards `*` and `?`; `<`, `<=`, `>` and `>=` compare labels and seeds, where `all` labels are the
largest number. `none` selects arms without a source; `true` and `false` are the values of collapsed
and underfit. The word `and` between conditions is ignored.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from transfergrid.evidence.measured.results import Cell
from transfergrid.records.errors import BadInputError, check_known, did_you_mean

NAMES = ("source", "architecture", "strategy", "target", "training")
FLAGS = ("collapsed", "underfit")
NUMBERS = ("labels", "seed")
OF_RUNS = ("seed", "study", *FLAGS)
KEYS = (*NAMES, *NUMBERS, "metric", "study", *FLAGS)
HELP = "which arms, as in 'target=digits labels=2,20 source!=placebo_* seed<3'"
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATOR = r"!=|<=|>=|==|=|<|>"
_CONDITION = re.compile(rf"([^=<>!]+)({_OPERATOR})(.*)")
_MOST_SHOWN = 12

Row = TypeVar("Row")


@dataclass(frozen=True)
class Condition:
    """One condition, such as `labels=2,20`."""

    key: str
    operator: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        """Return the condition as the user types it."""
        return f"{self.key}{self.operator}{','.join(self.values)}"

    def holds(self, cell: Any) -> bool:
        """Return whether a cell, a result, a row or a verdict meets the condition."""
        known = _value(cell, self.key)
        if self.operator in _ORDERS:
            return _ORDERS[self.operator](_number(known), _number(self.values[0]))
        found = any(_matches(known, value) for value in self.values)
        return found is (self.operator == "=")

    def unmatched(self, cells: Sequence[Any]) -> str | None:
        """Return a value, or the whole condition, that matches no cell; None if all match."""
        if self.operator in _ORDERS:
            return None if any(map(self.holds, cells)) else str(self)
        known = {_value(cell, self.key) for cell in cells}
        return next((v for v in self.values if not any(_matches(k, v) for k in known)), None)


@dataclass(frozen=True)
class Where:
    """Conditions that must all hold; without any, every cell is selected."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, text: str | None, keys: Sequence[str] = KEYS) -> Where:
        """Return the conditions that the user typed.

        Args:
            text: the argument of `--where`.
            keys: the keys that the selected things have.

        Raises:
            BadInputError: a condition cannot be parsed, or its key is unknown.
        """
        tight = re.sub(rf"\s*({_OPERATOR})\s*", r"\1", (text or "").strip())
        words = re.sub(r"\s*,\s*", ",", tight).split()
        return cls(tuple(_condition(word, keys) for word in words if word.lower() != "and"))

    def of_runs(self) -> Where:
        """Return the conditions on single runs: on seed, study and flags."""
        return Where(tuple(c for c in self.conditions if c.key in OF_RUNS))

    def of_arms(self) -> Where:
        """Return the conditions on whole arms, which all runs of an arm meet or none does."""
        return Where(tuple(c for c in self.conditions if c.key not in OF_RUNS))

    def keeps(self, cell: Any) -> bool:
        """Return whether a cell, a result, a row or a verdict meets all conditions.

        Raises:
            BadInputError: the object lacks a condition's key, such as a row without a seed.
        """
        return all(condition.holds(cell) for condition in self.conditions)

    def rows(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows or verdicts that meet all conditions, in their order.

        Raises:
            BadInputError: a value occurs in no row, or no row meets all conditions.
        """
        listed = list(rows)
        self.check(listed)
        return [row for row in listed if self.keeps(row)]

    def check(self, cells: Sequence[Any]) -> None:
        """Raise `BadInputError` if a value matches no cell, or no cell meets all conditions."""
        if not cells:
            return
        for condition in self.conditions:
            missing = condition.unmatched(cells)
            if missing is not None:
                raise BadInputError(_told(condition, missing, cells))
        if not any(map(self.keeps, cells)):
            told = " ".join(map(str, self.conditions))
            raise BadInputError(f"--where '{told}': each is met by some, and no one meets all")


def selected(cells: Iterable[Cell], where: Where) -> list[Cell]:
    """Return the selected cells, and the baselines that they name, as baselines only.

    A cell that is kept only as a baseline loses its own baseline, so that it is not an arm itself
    and enlarges no family.

    Raises:
        BadInputError: a value occurs in no cell, or no cell meets all conditions.
    """
    listed = list(cells)
    if not where.conditions:
        return listed
    where.check(listed)
    meant = {cell.id for cell in listed if where.keeps(cell)}
    arms = [cell for cell in listed if cell.id in meant]
    named = {arm.baseline.id for arm in arms if arm.baseline}
    named |= {other.id for arm in arms for other in arm.exploratory}
    found = []
    for cell in listed:
        if cell.id in meant:
            found.append(cell)
        elif cell.id in named:
            found.append(replace(cell, baseline=None, exploratory=()))
    return found


def _condition(word: str, keys: Sequence[str]) -> Condition:
    match = _CONDITION.fullmatch(word)
    if match is None:
        shape = "target=digits" if "target" in keys else f"{keys[0]}=VALUE"
        raise BadInputError(f"--where: cannot read {word!r}; conditions look like {shape}")
    key, sign, text = match.groups()
    check_known("key in --where", key, keys)
    values = tuple(value for value in text.split(",") if value)
    if not values:
        raise BadInputError(f"--where: {key}{sign} lacks a value ({key}{sign}none: without one)")
    if sign in _ORDERS:
        if key not in NUMBERS:
            raise BadInputError(f"--where: {word}: only {' and '.join(NUMBERS)} are more or less")
        if len(values) != 1 or _read_number(values[0]) is None:
            raise BadInputError(f"--where: {word}: {sign} takes one number")
    if key in FLAGS:
        for value in values:
            check_known(f"value of {key}", value.lower(), ("true", "false"))
    return Condition(key, "=" if sign == "==" else sign, values)


def _value(cell: Any, key: str) -> Any:
    """Return the value of a cell, result, row or verdict under a key, as a number or text."""
    holder = getattr(cell, "names", cell) if key in NAMES else cell
    holder = getattr(cell, "flags", cell) if key in FLAGS else holder
    if not hasattr(holder, key):
        raise BadInputError(f"--where {key}: this tells no {key}s apart")
    value = getattr(holder, key)
    if key in FLAGS:
        return "true" if value else "false"
    return getattr(value, "name", value) if key == "metric" else value


def _matches(known: Any, wanted: str) -> bool:
    """Return whether a value, or one of a tuple, matches `wanted`, by name or pattern."""
    if isinstance(known, tuple):
        return any(_matches(each, wanted) for each in known or (None,))
    if known is None:
        return wanted.lower() in ("none", "null")
    if _is_number(known):
        return _read_number(wanted) == known or fnmatchcase(str(known), wanted)
    text = str(known)
    # tables add "#digest" to a name that two configs share: the plain name selects both
    return any(fnmatchcase(name, wanted) for name in (text, text.partition("#")[0]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_number(text: str) -> float | None:
    try:
        return float("inf") if text.lower() == "all" else float(text)
    except ValueError:
        return None


def _number(value: Any) -> float:
    number = _read_number(str(value))
    return float("nan") if number is None else number


def _told(condition: Condition, missing: str, cells: Sequence[Any]) -> str:
    """Return the message with the unknown value, and the values that there are."""
    known = set().union(*(_each(_value(cell, condition.key)) for cell in cells))
    ordered = sorted(known, key=lambda value: (value is None, _sort_key(value)))
    names = ["none" if value is None else str(value) for value in ordered]
    shown = ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")
    near = did_you_mean(missing, names)
    near = near if near.endswith("?") else ";"
    what = missing if missing == str(condition) else f"{condition.key} {missing!r}"
    return f"--where: there is no {what}{near} there is {shown}"


def _each(value: Any) -> set[Any]:
    """Return the set of a value, or of a tuple's values; {None} for an empty tuple."""
    return set(value or (None,)) if isinstance(value, tuple) else {value}


def _sort_key(value: Any) -> tuple[float, str]:
    number = _read_number(str(value))
    return (float("inf") if number is None else number, str(value))
