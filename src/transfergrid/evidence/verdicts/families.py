"""Families: the comparisons that are corrected together, and the seeds that were seen of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from transfergrid.evidence.measured.results import Result, references
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, TRANSFER, Verdict
from transfergrid.records.cell import Labels, Parts

T = TypeVar("T")


class Family(NamedTuple):
    """The key of the comparisons that are corrected together."""

    target_part: str
    labels: Labels
    baseline: str
    """The baseline's name in the cells, without what a table adds to distinguish baselines of the
    same name. So the family keeps its key when a config changes."""
    kind: str


Seen = Mapping[str, frozenset[int]]
"""The seeds that a look shows, by arm as `arm_of` spells it."""


class ItemShare(NamedTuple):
    """The share of an arm's SE² that is due to test items, which further seeds do not reduce."""

    seeds: int
    """The number of seeds that the share was measured with."""
    share: float
    """From 0 to .9, rounded down to tenths: the correlation of two looks must not be
    overestimated."""

    @classmethod
    def of(cls, seeds: int, share: float) -> ItemShare:
        """Return the item share measured with these seeds, rounded down to a tenth."""
        return cls(seeds, min(int(10 * share + 1e-9), 9) / 10)

    def weight(self) -> float:
        """Return w, where SE² with n seeds is proportional to 1/n + w."""
        return self.share / (1 - self.share) / self.seeds


Shares = Mapping[str, ItemShare]
"""Item shares by arm as `arm_of` spells it."""


Levels = Callable[[Family, Seen, Shares], tuple[float, float]]
"""Returns the error rates that a family may use at these seeds, and later with more; see `looks`.
The shares are those of this look."""


RulesOf = Callable[[Family], Rules]
"""Returns the rules that decide a family; families of one ledger may have been declared
separately."""


def families_of(results: Iterable[Result]) -> dict[Family, set[str]]:
    """Return the ids of each family's cells; a family names its baseline as the cells do."""
    found: defaultdict[tuple[str, Labels, str, str], set[str]] = defaultdict(set)
    for cell in results:
        target, labels, kind, name = cell.parts.target, cell.labels, kind_of(cell), cell.id
        for other in references(cell):
            found[target, labels, other.name, kind].add(name)
    return {Family(*told): cells for told, cells in found.items()}


def family_of(verdict: Verdict) -> Family:
    """Return the family that a verdict was corrected in."""
    return Family(verdict.target_part or "", verdict.labels, verdict.reference, verdict.kind)


def kind_of(cell: Result) -> str:
    """Return whether a cell shows transfer, a placebo, or an arm that has no source."""
    if cell.names.source is None:
        return CONTROL
    return PLACEBO if cell.placebo else TRANSFER


def arm_of(parts: Parts) -> str:
    """Return the key that distinguishes an arm from the others of its family."""
    return _spelled(parts.source, parts.strategy, parts.training, parts.tuning)


def seen_in(verdicts: Iterable[Verdict]) -> dict[Family, Seen]:
    """Return the seeds shown by verdicts on more than one seed, by family and arm."""
    return _by_family(verdicts, lambda one: frozenset(one.seeds))


def shares_in(verdicts: Iterable[Verdict]) -> dict[Family, Shares]:
    """Return the share of SE² that is due to test items, by family and arm, where known."""
    known = (one for one in verdicts if one.items_share is not None)
    return _by_family(known, lambda one: ItemShare.of(one.n, one.items_share or 0.0))


def _by_family(
    verdicts: Iterable[Verdict], of: Callable[[Verdict], T]
) -> dict[Family, Mapping[str, T]]:
    found: defaultdict[Family, dict[str, T]] = defaultdict(dict)
    for one in verdicts:
        if one.n > 1:
            arm = _spelled(one.source_part, one.strategy_part, one.training_part, one.tuning_part)
            found[family_of(one)][arm] = of(one)
    return {**found}


def seen_of(cells: Iterable[Result]) -> dict[Family, Seen]:
    """Return the seeds of arms with more than one seed, by family of their primary baseline."""
    seeds: defaultdict[tuple[Labels, str, str, Parts], set[int]] = defaultdict(set)
    for cell in cells:
        if cell.baseline and cell.score is not None:
            seeds[cell.labels, cell.baseline.name, kind_of(cell), cell.parts].add(cell.seed)
    found: defaultdict[Family, defaultdict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for (labels, name, kind, parts), own in seeds.items():
        found[Family(parts.target, labels, name, kind)][arm_of(parts)] |= own
    return {
        family: {arm: frozenset(own) for arm, own in shown.items() if len(own) > 1}
        for family, shown in found.items()
    }


def _spelled(*digests: str | None) -> str:
    """Join the digests of the three parts, and of the tuning (added later) if there is one."""
    *parts, tuning = digests
    return ".".join((digest or "")[:8] for digest in [*parts, *([tuning] if tuning else [])])
