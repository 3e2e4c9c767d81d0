"""How the classes of a source domain and of a target stand to each other: the setting of a pair.

A pair is closed where both have the same classes, partial where the target lacks some of the
source's, open where it has some that the source lacks; it may be partial and open. How far the
shares of classes are apart is told beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

Word = Literal["closed", "partial", "open"]
WORDS: tuple[str, ...] = get_args(Word)
UNKNOWN = "unknown"
"""What all classes are called together that the source lacks, where they are predicted."""
SHIFTED = 0.1
"""Shares of classes that are farther apart than this are no matter of a few examples."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What a strategy meets that learns from a source domain beside a target."""

    setting: Annotated[str, "closed, partial, open, or partial and open"]
    shared: Annotated[tuple[str, ...], "classes of both, in the target's order"]
    missing: Annotated[tuple[str, ...], "classes of the source that the target lacks"] = ()
    unknown: Annotated[tuple[str, ...], "classes of the target that the source lacks"] = ()
    label_shift: Annotated[
        float | None,
        "how far the shares of classes in the two pools are apart, from 0 to 1, counted among the "
        "classes of both: the share of examples that would have to be of another class",
    ] = None
    unevenness: Annotated[
        float | None,
        "the same between the target's shares and equal ones, of all classes that are predicted",
    ] = None

    @classmethod
    def of(cls, source: Mapping[str, int], target: Mapping[str, int]) -> Pair:
        """Return the pair of two domains with so many pool examples of each class.

        Args:
            source: examples by class, in the domain's order.
            target: likewise.
        """
        shared = tuple(name for name in target if name in source)
        missing = tuple(name for name in source if name not in target)
        unknown = tuple(name for name in target if name not in source)
        counts = [[domain[name] for name in shared] for domain in (source, target)]
        seen = [*counts[1], *(0 for _ in missing)]
        seen += [sum(target[name] for name in unknown)] if unknown else []
        words = ["partial"] * bool(missing) + ["open"] * bool(unknown) or ["closed"]
        return cls(
            setting=" and ".join(words),
            shared=shared,
            missing=missing,
            unknown=unknown,
            label_shift=apart(*counts),
            unevenness=apart(seen, [1] * len(seen)),
        )

    @property
    def words(self) -> frozenset[str]:
        """The words of its setting, as in `Needs.pairs`."""
        return frozenset(self.setting.split(" and "))

    @property
    def is_closed(self) -> bool:
        """Whether both have the same classes."""
        return self.setting == "closed"

    @property
    def is_shifted(self) -> bool:
        """Whether the shares of classes differ by more than a little."""
        return self.label_shift is not None and self.label_shift > SHIFTED

    @property
    def told(self) -> str:
        """What is odd about it, such as "partial, label shift 0.31"; nothing where it is closed."""
        parts = [] if self.is_closed else [self.setting]
        parts += [f"label shift {self.label_shift:.2f}"] if self.is_shifted else []
        return ", ".join(parts)

    @property
    def predicted(self) -> tuple[str, ...]:
        """What is told apart, in order: the target's own classes first; all unknown ones as one."""
        return (*self.shared, *self.missing, *([UNKNOWN] if self.unknown else []))


def apart(one: Sequence[int], other: Sequence[int]) -> float | None:
    """Return half the summed distance of two sets of shares, from 0 to 1; None where one is empty.

    Args:
        one: counts.
        other: counts of the same classes.
    """
    totals = sum(one), sum(other)
    if not all(totals):
        return None
    both = zip(one, other, strict=True)
    return round(sum(abs(a / totals[0] - b / totals[1]) for a, b in both) / 2, 6)
