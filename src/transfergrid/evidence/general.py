"""Does an arm help or hurt in general? Statements over several targets, from a verdict on each.

The unit is a target: label budgets of one target share its items and seeds, so their gains are
averaged within each seed first, and so are those of several sources where the question is about a
strategy whatever its source. Variants of one dataset with the same test labels (another metric,
noise, size) are one target. All gains are in points, those of numbers as margins count them
(`records.points`), because targets are averaged.

With five targets or more the statement is about new targets like these, with fewer about these
alone. All statements of one kind (arms with a source, placebos, controls) over one baseline are
corrected together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.measured.gains import averaged, block_gains
from transfergrid.evidence.measured.outcomes import Read, right
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.statistics.correction import benjamini_hochberg, correction
from transfergrid.evidence.statistics.intervals import Estimate
from transfergrid.evidence.statistics.skew import is_skewed
from transfergrid.evidence.statistics.targets import (
    FEWEST,
    NewTarget,
    Spread,
    at_least,
    of_a_new_target,
    on_new,
    on_these,
    rank_test,
)
from transfergrid.evidence.verdicts import rule
from transfergrid.evidence.verdicts.decisions import CODES, Kind
from transfergrid.evidence.verdicts.rule import Estimates
from transfergrid.evidence.verdicts.standing import Standing
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, TRANSFER, Verdict
from transfergrid.records.errors import BadInputError

BOUND = "bound"
"""Scope of a mean over comparisons whose seeds or test items differ: its error is a bound."""
Arm = tuple[str, str | None, str | None, str, str]
"""Kind, source, architecture, strategy and the baseline's name."""
Pairs = list[tuple[Result, Result]]


@dataclass(frozen=True)
class OnTarget:
    """The gain on one target, the mean over its label budgets (and sources)."""

    target: str
    estimate: Estimate
    """In points."""
    seeds: Estimate | None
    """The same over seeds alone, where that counts beside it: with fewer than ten seeds."""
    p_harm: float
    """One-sided p value of "no loss"; 1 if the gains are too skewed to tell."""
    p_gain: float
    comparisons: int
    """The number of comparisons that were averaged."""


@dataclass(frozen=True, kw_only=True)
class General:
    """The statement on one arm over several targets. Gains are in points."""

    kind: str
    source: str | None
    """None for a strategy whatever its source."""
    architecture: str | None
    strategy: str
    baseline: str
    on: tuple[OnTarget, ...]
    """The targets, the one with the largest gain first."""
    unknown: tuple[str, ...]
    """Targets that have a gain but no error, such as one seed: they do not enter."""
    margin: float
    """The smallest margin that was declared for one of these targets, in points."""
    level: float
    """The smallest level of the families that were averaged."""
    mean: Estimate
    """The mean gain: over new targets with five targets or more, else over these."""
    seeds: Estimate | None = None
    """The same with the errors over seeds alone; the larger p value of both counts. None if all
    targets have ten seeds or more."""
    spread: Spread | None = None
    new: NewTarget | None = None
    """What is expected of a further target; None with fewer than five."""
    hurts: int = 0
    """The arm hurts on at least so many of these targets, at this level."""
    helps: int = 0
    hurt: tuple[str, ...] = ()
    """The targets on which it hurts, with a false discovery rate of this level."""
    helped: tuple[str, ...] = ()
    ranks: tuple[float, float] | None = None
    """P values of the exact Wilcoxon and sign tests; None with fewer than six targets."""
    p: float = 1.0
    p_corrected: float = 1.0
    verdict: Kind = Kind.UNDECIDED
    why: str = ""
    """Why it is undecided, if for more than a lack of evidence."""
    family_size: int = 1

    @property
    def is_general(self) -> bool:
        """Return whether it is about new targets, not about these alone."""
        return self.new is not None

    @property
    def is_of_any_source(self) -> bool:
        """Return whether it is about a strategy whatever its source."""
        return self.source is None and self.kind != CONTROL


def generally(bench: Bench, verdicts: Sequence[Verdict]) -> list[General]:
    """Return the statement on each arm that has two targets or more.

    A strategy whose sources have different targets also gets one whatever its source. Sorted by
    kind, scope (new targets first) and gain.

    Args:
        bench: the bench, without the runs that are not selected.
        verdicts: its verdicts on the selected arms.
    """
    by_id = {result.id: result for result in bench.results}
    arms: defaultdict[Arm, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.n and verdict.gain is not None:
            arms[_arm(verdict, verdict.source)].append(verdict)
    arms |= _whatever_source(arms)
    targets = _Targets(by_id, bench)
    found = [one for arm, own in arms.items() if (one := _stated(arm, own, targets)) is not None]
    families: defaultdict[tuple[str, str, bool], list[General]] = defaultdict(list)
    for one in found:
        families[one.kind, one.baseline, one.is_of_any_source].append(one)
    name = bench.declaration.correction
    return sorted((one for own in families.values() for one in _decided(own, name)), key=_order)


def _arm(verdict: Verdict, source: str | None) -> Arm:
    return verdict.kind, source, verdict.architecture, verdict.strategy, verdict.reference


def _whatever_source(arms: Mapping[Arm, Sequence[Verdict]]) -> dict[Arm, list[Verdict]]:
    """Return the strategies whose sources together have more targets than any of them alone."""
    found: defaultdict[Arm, list[Verdict]] = defaultdict(list)
    most: defaultdict[Arm, int] = defaultdict(int)
    for (kind, source, *_), own in arms.items():
        if kind == TRANSFER and source is not None:
            first = own[0]
            arm = (kind, None, None, first.strategy, first.reference)
            found[arm] += own
            most[arm] = max(most[arm], len({v.target for v in own}))
    return {arm: own for arm, own in found.items() if len({v.target for v in own}) > most[arm]}


class _Targets:
    """The gain on each target; the same comparisons are estimated once.

    Args:
        by_id: the results.
        bench: the bench.
    """

    def __init__(self, by_id: Mapping[str, Result], bench: Bench) -> None:
        self.by_id, self.read, self._find = by_id, bench.outcomes, bench.ledger.find
        self._known: dict[tuple[tuple[str, ...], ...], OnTarget | None] = {}
        self._datasets: dict[str | None, Hashable] = {}

    def of(self, verdicts: Iterable[Verdict]) -> tuple[list[OnTarget], list[str]]:
        """Return the gain on each target, and the targets whose gain has no error."""
        units: defaultdict[Hashable, list[Verdict]] = defaultdict(list)
        for verdict in verdicts:
            units[self._unit(verdict)].append(verdict)
        found, unknown = [], []
        for own in units.values():
            one = self._on(own)
            if one is None:
                unknown.append(own[0].target)
            else:
                found.append(one)
        return sorted(found, key=lambda one: -one.estimate.mean), sorted(unknown)

    def _unit(self, verdict: Verdict) -> Hashable:
        """Return what identifies the target: its dataset and its test labels."""
        if verdict.target_part not in self._datasets:
            self._datasets[verdict.target_part] = self._dataset(verdict)
        try:
            items = right(self.read, verdict.cells[0]).items
        except BadInputError:  # predictions were not kept
            items = verdict.target
        return self._datasets[verdict.target_part], items

    def _dataset(self, verdict: Verdict) -> Hashable:
        """Return the class of the dataset with its files and name; by default the target's name."""
        record = self._find(verdict.cells[0])
        config = (record.config.get("target") if record is not None else None) or {}
        about = config.get("about") or {}
        keys = [*about.get("paths", ()), about.get("named_by")]
        where = [str(config.get(key)) for key in keys if isinstance(key, str)]
        return (config["_target_"], *where) if "_target_" in config else verdict.target

    def _on(self, verdicts: Sequence[Verdict]) -> OnTarget | None:
        key = tuple(verdict.cells + verdict.baseline_cells for verdict in verdicts)
        if key not in self._known:
            self._known[key] = self._estimated(verdicts)
        return self._known[key]

    def _estimated(self, verdicts: Sequence[Verdict]) -> OnTarget | None:
        if len(verdicts) == 1:
            standing = _alone(verdicts[0])
        else:
            compared = [self._pairs(verdict) for verdict in verdicts]
            standing = _together(compared, verdicts, self.read) or _bound(verdicts)
        if standing is None or standing.estimate.se is None or standing.estimate.df is None:
            return None
        return OnTarget(
            verdicts[0].target,
            standing.estimate,
            standing.seeds,
            *_sides(standing),
            comparisons=len(verdicts),
        )

    def _pairs(self, verdict: Verdict) -> Pairs:
        both = zip(verdict.cells, verdict.baseline_cells, strict=True)
        return [(self.by_id[cell], self.by_id[base]) for cell, base in both]


def _alone(verdict: Verdict) -> Standing | None:
    """Return the gain of a single comparison as its verdict has it; None for one seed."""
    if verdict.n < 2:
        return None
    found = Estimate(
        verdict.gain or 0.0, verdict.se, verdict.df, verdict.scope or "", verdict.n, verdict.items
    )
    return Standing(found.times(1 / verdict.point), np.array(verdict.gains) / verdict.point)


def _together(
    compared: Sequence[Pairs], verdicts: Sequence[Verdict], read: Read
) -> Standing | None:
    """Return the mean over comparisons within each seed; None if they share no two seeds.

    Comparisons in different metrics, or where a single one covers the test items and all together
    do not, are not averaged so either.
    """
    shared = set.intersection(*({cell.seed for cell, _ in pairs} for pairs in compared))
    points = {(verdict.metric, verdict.point) for verdict in verdicts}
    if len(shared) < 2 or len(points) > 1:
        return None
    own = [[pair for pair in pairs if pair[0].seed in shared] for pairs in compared]
    estimate, point = averaged(own, read), verdicts[0].point
    if not estimate.is_crossed and any(verdict.items > 1 for verdict in verdicts):
        return None
    gains = np.mean([block_gains(pairs) for pairs in own], axis=0) / point
    return Standing(estimate.times(1 / point), gains)


def _bound(verdicts: Sequence[Verdict]) -> Standing | None:
    """Return the mean over comparisons with the mean of their errors.

    However the comparisons depend on each other, the error of their mean is no larger.
    """
    known = [(v.gain, v.se, v.df, v.point) for v in verdicts if v.n > 1 and v.se and v.df]
    if len(known) < len(verdicts):
        return None
    mean = float(np.mean([(gain or 0.0) / point for gain, _, _, point in known]))
    se = float(np.mean([(se or 0.0) / point for _, se, _, point in known]))
    df = min(df or math.inf for _, _, df, _ in known)
    return Standing(Estimate(mean, se, df, BOUND, min(v.n for v in verdicts)), np.empty(0))


def _sides(standing: Standing) -> tuple[float, float]:
    """Return the one-sided p values of "no loss" and "no gain", the larger over its tests."""
    if standing.is_skewed:
        return 1.0, 1.0
    tests = [Estimates.of_one_family([one]) for one in standing.tests()]
    return (
        max(float(test.p_gain(0.0).item()) for test in tests),
        max(float(test.p_harm(0.0).item()) for test in tests),
    )


def _stated(arm: Arm, verdicts: Sequence[Verdict], targets: _Targets) -> General | None:
    """Return the statement on an arm, on which nothing is decided yet; None for one target."""
    kind, source, architecture, strategy, baseline = arm
    on, unknown = targets.of(verdicts)
    if len(on) < 2:
        return None
    level = min(verdict.level for verdict in verdicts)
    margin = min(verdict.margin / verdict.point for verdict in verdicts)
    gains = [one.estimate for one in on]
    mean, spread = _over(gains)
    alone = [one.seeds if one.seeds and one.seeds.se else one.estimate for one in on]
    harm, gain = [one.p_harm for one in on], [one.p_gain for one in on]
    return General(
        kind=kind,
        source=source,
        architecture=architecture,
        strategy=strategy,
        baseline=baseline,
        on=tuple(on),
        unknown=tuple(unknown),
        margin=margin,
        level=level,
        mean=mean,
        seeds=_over(alone)[0] if any(one.seeds for one in on) else None,
        spread=spread,
        new=of_a_new_target(mean, spread.tau, margin) if spread else None,
        hurts=at_least(harm, level),
        helps=at_least(gain, level),
        hurt=_listed(on, harm, level),
        helped=_listed(on, gain, level),
        ranks=rank_test([one.mean for one in gains]),
    )


def _over(gains: Sequence[Estimate]) -> tuple[Estimate, Spread | None]:
    """Return the mean over new targets and the spread over them, or the mean of these alone."""
    return on_new(gains) if len(gains) >= FEWEST else (on_these(gains), None)


def _listed(on: Sequence[OnTarget], p: Sequence[float], level: float) -> tuple[str, ...]:
    """Return the targets whose p value stands under the correction for false discoveries."""
    kept = zip(on, benjamini_hochberg(p), strict=True)
    return tuple(one.target for one, corrected in kept if corrected <= level)


def _decided(family: Sequence[General], by: str) -> list[General]:
    """Return the statements of one family with their verdicts, by the rule of single verdicts.

    Each is in units of its own margin, so that one rule decides them all.
    """

    def scaled(means: Iterable[Estimate | None]) -> Estimates:
        both = zip(means, family, strict=True)
        return Estimates.of_one_family(mean and mean.times(1 / one.margin) for mean, one in both)

    means, seeds = scaled(one.mean for one in family), scaled(one.seeds for one in family)
    tested = rule.tested([means, seeds], 1.0, correction(by))
    called = rule.called(means, tested, 1.0, min(one.level for one in family))
    found = []
    for place, one in enumerate(family):
        why = _undecidable(one)
        found.append(
            replace(
                one,
                p=float(tested.p[0, place]),
                p_corrected=float(tested.corrected[0, place]),
                verdict=Kind.UNDECIDED if why else CODES[called.kinds[0, place]],
                why=why,
                family_size=len(family),
            )
        )
    return found


def _undecidable(one: General) -> str:
    """Return why the mean over new targets cannot be decided; empty if it can."""
    gains = np.array([target.estimate.mean for target in one.on])
    if one.is_general and bool(is_skewed(gains)):
        return f"skewed: one of {len(gains)} targets stands apart, and a t test would mislead"
    return ""


def _order(one: General) -> tuple[Any, ...]:
    kinds = (TRANSFER, PLACEBO, CONTROL)
    where = kinds.index(one.kind), one.baseline, not one.is_of_any_source, not one.is_general
    return (*where, -one.mean.mean, one.source or "", one.strategy)
