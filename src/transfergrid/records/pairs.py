"""A pair of source domain and target: how their classes and class shares differ.

A pair is closed if both have the same classes, partial if the target lacks some of the source's
classes, open if the source lacks some of the target's classes. It may be both partial and open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

Word = Literal["closed", "partial", "open"]
WORDS: tuple[str, ...] = get_args(Word)
UNKNOWN = "unknown"
"""Name of the one predicted class that stands for all classes that the source lacks."""
SHIFTED = 0.1
"""A larger label shift than this counts as real, and not as an effect of few examples."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The relation between the classes of a source domain and those of a target."""

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
        """Return the pair of two domains, given their numbers of pool examples by class.

        Args:
            source: number of examples by class, in the order of the source domain.
            target: number of examples by class, in the order of the target.
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
        """The words of the setting, as in `Needs.pairs`."""
        return frozenset(self.setting.split(" and "))

    @property
    def is_closed(self) -> bool:
        """Whether both have the same classes."""
        return self.setting == "closed"

    @property
    def is_shifted(self) -> bool:
        """Whether the label shift is larger than `SHIFTED`."""
        return self.label_shift is not None and self.label_shift > SHIFTED

    @property
    def told(self) -> str:
        """What differs, such as "partial, label shift 0.31"; empty if closed and not shifted."""
        parts = [] if self.is_closed else [self.setting]
        parts += [f"label shift {self.label_shift:.2f}"] if self.is_shifted else []
        return ", ".join(parts)

    @property
    def predicted(self) -> tuple[str, ...]:
        """The predicted classes, in order: shared, missing, then one for all unknown classes."""
        return (*self.shared, *self.missing, *([UNKNOWN] if self.unknown else []))


def apart(one: Sequence[int], other: Sequence[int]) -> float | None:
    """Return the total variation distance between two sets of class shares, from 0 to 1.

    It is half the sum of absolute differences. None if one of the sets has no examples.

    Args:
        one: counts by class.
        other: counts of the same classes.
    """
    totals = sum(one), sum(other)
    if not all(totals):
        return None
    both = zip(one, other, strict=True)
    return round(sum(abs(a / totals[0] - b / totals[1]) for a, b in both) / 2, 6)
