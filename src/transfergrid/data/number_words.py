"""Sentences that name a number in words: a generated text target for regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge

from transfergrid.data.drawn_numbers import DrawnNumbers
from transfergrid.data.text import TextExamples
from transfergrid.records.seeds import generator

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SENTENCES = (
    "there were {} people in the hall",
    "the ship carried {} sacks of grain",
    "she counted {} stars that night",
    "{} letters came in a single week",
    "they paid {} crowns for the old house",
    "the village has {} inhabitants",
    "of {} seeds only a few came up",
    "he walked {} steps and turned around",
)
LARGEST = 9_999


@dataclass(frozen=True, kw_only=True)
class NumberWords(DrawnNumbers):
    """Sentences with a number from 1 to 9,999 in words; the label is its decimal logarithm.

    Logarithms are drawn uniformly, so that small numbers are as frequent as large ones.
    """

    pool_size: Annotated[int, Ge(2)] = 3000
    test_size: Annotated[int, Ge(2)] = 600

    modality: ClassVar[str] = "text"
    number: ClassVar[str] = "log10"

    def _part(self, name: str, n: int) -> TextExamples:
        """Return sentences with logarithms (n,)."""
        rng = generator(self.seed, "number words", name)
        numbers = np.floor(10 ** rng.uniform(0, np.log10(LARGEST + 1), n)).astype(np.int64)
        which = rng.integers(len(SENTENCES), size=n)
        texts = [SENTENCES[s].format(in_words(int(k))) for s, k in zip(which, numbers, strict=True)]
        return TextExamples(texts, np.log10(numbers).astype(np.float32))


def in_words(number: int) -> str:
    """Return a whole number from 0 to 9,999 in English words."""
    if number >= 1000:
        return f"{ONES[number // 1000]} thousand" + _rest(number % 1000)
    if number >= 100:
        return f"{ONES[number // 100]} hundred" + _rest(number % 100)
    if number < len(ONES):
        return ONES[number]
    return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")


def _rest(number: int) -> str:
    """Return the words after the hundreds or thousands."""
    if not number:
        return ""
    return (" and " if number < 100 else " ") + in_words(number)
