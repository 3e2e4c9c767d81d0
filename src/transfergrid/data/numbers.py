"""Labels that are numbers: reading, checking, and dividing them into tenths of their order."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.errors import BadInputError
from transfergrid.records.metrics import CLASSES, NUMBERS, deciding

TENTHS = 10
"""Number of parts of equal size into which sorted numbers are divided, to draw from in turn."""
ADVICE = f"classes are scored by target.metric={deciding(CLASSES)[0]}"
LARGEST = 1e15
"""Larger labels are refused, because their squared errors would be too large for records."""
EXACT = 2.0**24
"""From this size on float32 does not represent every whole number."""
STEPS = 16
"""Least standard deviation of labels, in steps of float32; rounding is then below 2 % of it."""
OF_NUMBERS = ", ".join(deciding(NUMBERS)[:-1]) + f" or {deciding(NUMBERS)[-1]}"
"""The names of the metrics of numbers, for messages."""


def as_number(text: str) -> float:
    """Parse a number, rounded to float32.

    Raises:
        BadInputError: the text is no finite number, or too large for float32.
    """
    try:
        value = float(text)
    except ValueError:
        comma = "; write decimals with a point and thousands without a comma" if "," in text else ""
        told = comma if any(c.isdigit() for c in text) and comma else f"; {ADVICE}"
        raise BadInputError(f"{text[:40]!r} is no number{told}") from None
    with np.errstate(over="ignore"):
        kept = float(np.float32(value))
    if not math.isfinite(kept):
        raise BadInputError(f"{text[:40]!r} is no finite number that float32 holds")
    return kept


def spelled(values: Sequence[float]) -> str:
    """Return one label's numbers as a canonical text: equal numbers give the same text."""
    return json.dumps([value + 0.0 for value in values])  # -0.0 is 0.0


def rows_of(labels: Sequence[str]) -> NDArray[np.float32]:
    """Parse labels that `spelled` wrote: (n,) if each is one number, else (n, outputs)."""
    rows = np.array([json.loads(label) for label in labels], dtype=np.float32)
    return rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows


def first_of(labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the first number of each label, (n,)."""
    return labels.reshape(len(labels), -1)[:, 0].astype(np.float64)


def tenths(values: NDArray[Any], most: int = TENTHS) -> NDArray[np.int64]:
    """Return the part (n,) of each value, when sorted values are divided into equal parts.

    Part 0 has the smallest values. Among equal values, earlier ones count as smaller.

    Args:
        values: (n,) numbers.
        most: the number of parts, unless there are fewer values.
    """
    n = len(values)
    place = np.empty(n, dtype=np.int64)
    place[np.argsort(values, kind="stable")] = np.arange(n)
    return place * min(most, n) // max(n, 1)


def share_parts(n: int, share: float) -> int:
    """Return into how many parts to divide `n` numbers, so that a share of each is at least one."""
    return max(1, min(TENTHS, int(n * min(share, 1 - share))))


def check_numbers(
    pool: NDArray[np.float32], test: NDArray[np.float32], columns: Sequence[str], metric: str
) -> None:
    """Raise `BadInputError` unless these labels can be learned, and scored by this metric.

    Args:
        pool: labels of the pool, (n,) or (n, outputs).
        test: labels of the test split, likewise.
        columns: the outputs' names.
        metric: the one that decides.
    """
    for part, labels in (("learn from", pool), ("test on", test)):
        if not len(labels):
            raise BadInputError(f"there is nothing to {part}")
        if (largest := float(np.abs(labels).max())) > LARGEST:
            raise BadInputError(
                f"labels as large as {largest:.3g} leave no room for their squared errors: divide "
                f"them, to {LARGEST:g} at most"
            )
        for name, values in zip(columns, labels.reshape(len(labels), -1).T, strict=True):
            alike = bool((values == values[0]).all())
            if alike and labels is pool:
                told = "all labels to learn from are" if len(values) > 1 else "there is one label,"
                near = " in float32; take a constant off" if abs(values[0]) >= EXACT else ""
                raise BadInputError(f"{name}: {told} {values[0]:g}{near}: nothing to tell apart")
            if alike and metric == "r2":
                raise BadInputError(
                    f"{name}: all labels to test on are {values[0]:g}, of which r2 has no value: "
                    "give another target.metric, such as mae"
                )
            if labels is pool:
                _check_apart(name, values)


def _check_apart(name: str, values: NDArray[np.float32]) -> None:
    """Raise unless rounding to float32 is small compared with the labels' spread."""
    step = float(np.spacing(np.abs(values).max()))
    if float(values.std(dtype=np.float64)) < STEPS * step:
        raise BadInputError(
            f"{name}: labels lie {step:.2g} apart in float32, about as far as they differ "
            f"({values.min():.9g} to {values.max():.9g}): take a constant off"
        )
