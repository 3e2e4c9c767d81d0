"""Families: the comparisons that are corrected together, and the seeds that are seen of them."""

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
    """What is corrected together."""

    target_part: str
    labels: Labels
    baseline: str
    """As cells name it, whatever a table adds to tell two of one name apart: so a family stays
    itself when a config changes."""
    kind: str


Seen = Mapping[str, frozenset[int]]
"""The seeds that are looked at, by arm as `arm_of` spells it."""


class ItemShare(NamedTuple):
    """What part of an arm's SE² comes of test items, which further seeds do not lessen."""

    seeds: int
    """With so many seeds."""
    share: float
    """From 0 to .9, in tenths, rounded down: what looks have in common is not to be overrated."""

    @classmethod
    def of(cls, seeds: int, share: float) -> ItemShare:
        """Round a share."""
        return cls(seeds, min(int(10 * share + 1e-9), 9) / 10)

    def weight(self) -> float:
        """Return w, where SE² is as 1/n + w with n seeds."""
        return self.share / (1 - self.share) / self.seeds


Shares = Mapping[str, ItemShare]
"""By arm as `arm_of` spells it."""


Levels = Callable[[Family, Seen, Shares], tuple[float, float]]
"""Gives the error that a family may make at these seeds, and later with more; see `looks`. The
shares are those of this look."""


RulesOf = Callable[[Family], Rules]
"""Gives what a family is decided by: families of one ledger may have been declared apart."""


def families_of(results: Iterable[Result]) -> dict[Family, set[str]]:
    """Return the identities of each family's cells, baselines by the names that cells give them."""
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
    """Spell what tells an arm from the others of its family."""
    return _spelled(parts.source, parts.strategy, parts.training, parts.tuning)


def seen_in(verdicts: Iterable[Verdict]) -> dict[Family, Seen]:
    """Return the seeds that verdicts on more than one seed show, by family and arm."""
    return _by_family(verdicts, lambda one: frozenset(one.seeds))


def shares_in(verdicts: Iterable[Verdict]) -> dict[Family, Shares]:
    """Return what part of SE² comes of test items, by family and arm, where that is known."""
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
    """Return the seeds of arms that have more than one, over the baselines that they name."""
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
    """Spell the digests of three parts, and of the search where there was one: it came later."""
    *parts, tuning = digests
    return ".".join((digest or "")[:8] for digest in [*parts, *([tuning] if tuning else [])])
