"""From results to verdicts: pair each arm with its baseline, then decide each family.

A family is one target × one label budget × one baseline. Placebos and arms without a source form
families of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from transfergrid.evidence.measured.arms import labels_order, mean_score
from transfergrid.evidence.measured.gains import why_uncrossed
from transfergrid.evidence.measured.measuring import Comparison, Measured
from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.statistics.intervals import THIS_TEST_SET
from transfergrid.evidence.verdicts.decisions import Decision, Rules, decide
from transfergrid.evidence.verdicts.fallen import told as about_fallen
from transfergrid.evidence.verdicts.families import Family, ItemShare, Levels, RulesOf, arm_of
from transfergrid.evidence.verdicts.notes import noted
from transfergrid.evidence.verdicts.unseen import (
    Chance,
    Seen,
    Side,
    collapses,
    unseen_bad_seed_rate,
)
from transfergrid.evidence.verdicts.verdict import (
    CONTROL,
    FIELDS,
    NOTHING_ELSE,
    PLACEBO,
    TRANSFER,
    Verdict,
)
from transfergrid.records.points import point


def judge(
    results: Iterable[Result],
    rules: RulesOf | None = None,
    *,
    read: Read | None = None,
    failures: Iterable[Result] = (),
    levels: Levels | None = None,
    primary: bool = True,
    ahead: bool = True,
) -> list[Verdict]:
    """Return the verdict on each arm that names a baseline.

    Sorted by target, labels, baseline, kind (transfer, placebo, control) and gain.

    Args:
        results: done cells; each is judged against the baseline that it names (see
            `comparisons.over` for another one).
        rules: the declared rules, the same for all families or by family.
        read: returns a cell's predictions, best an `Outcomes`. Without it test items are no source
            of error, and verdicts hold for this test set only.
        failures: failed cells; each is counted in the arm that it belongs to.
        levels: returns the error rate that each family may use; by default `rules.alpha`.
        primary: whether the baselines are the primary ones.
        ahead: whether to compute more than the verdicts and gains: what could have been detected,
            what further seeds would show, which collapses would undo a verdict, and notes.
    """
    rules_of = rules or Rules()
    table = _Judge(list(results), list(failures), read)
    families: defaultdict[Family, list[Comparison]] = defaultdict(list)
    for comparison in table.comparisons():
        families[comparison.family].append(comparison)
    verdicts = []
    for family, compared in families.items():
        decided_by = rules_of(family)
        shown = {arm_of(c.key[0]): frozenset(c.seeds) for c in compared}
        shares = {
            arm_of(c.key[0]): ItemShare.of(len(c.pairs), share)
            for c in compared
            if (share := c.estimate.items_share) is not None
        }
        alpha = decided_by.alpha
        at = levels(family, shown, shares) if levels else (alpha, alpha)
        verdicts += table.family(compared, decided_by, primary, ahead, *at)
    return sorted(noted(verdicts) if ahead else verdicts, key=_order)


def _order(verdict: Verdict) -> tuple[object, ...]:
    kinds = (TRANSFER, PLACEBO, CONTROL)
    return (
        verdict.target,
        labels_order(verdict.labels),
        verdict.baseline,
        kinds.index(verdict.kind),
        verdict.gain is None,
        -(verdict.gain or 0.0),
        verdict.source or "",
        verdict.strategy,
    )


_SAME = tuple(f.name for f in fields(Decision) if f.name in FIELDS and f.name != "kind")
"""The fields that a verdict copies from a decision under the same name."""


class _Judge(Measured):
    """All measured results, and what is needed to tell which collapses would undo a verdict."""

    def __init__(self, results: list[Result], failures: list[Result], read: Read | None) -> None:
        super().__init__(results, failures, read)
        self.seen, self.chance = Seen(results), Chance(self.beside)

    def family(
        self, compared: list[Comparison], rules: Rules, primary: bool, ahead: bool, level: float,
        later: float,
    ) -> list[Verdict]:  # fmt: skip
        """Return the verdicts of one family; the margin is in the unit that its metric has."""
        first = compared[0].cells[0]
        rules = in_unit(rules, size := point(first.metric, first.floor))
        decisions = _decided(compared, rules, level, later, ahead)
        unflagged = [one.without_flagged() for one in compared]
        changed = any(rest is not one for rest, one in zip(unflagged, compared, strict=True))
        again = _decided(unflagged, rules, level, later, ahead=False) if changed else decisions
        of_family: dict[str, Any] = {
            "margin": rules.margin,
            "point": size,
            "level": level,
            "power": rules.power,
            "family_size": sum(decision.p is not None for decision in decisions),
            "primary": primary,
        }
        if not ahead:
            both = zip(compared, decisions, strict=True)
            return [self.verdict(one).but(**_said(found), **of_family) for one, found in both]
        four = zip(compared, decisions, unflagged, again, strict=True)
        return [self._decided(*one, of_family) for one in four]

    def _decided(
        self, compared: Comparison, decided: Decision, rest: Comparison, other: Decision,
        of_family: dict[str, Any],
    ) -> Verdict:  # fmt: skip
        """Return the verdict on a comparison, from the decisions with and without flagged runs."""
        found, n = self.verdict(compared), len(compared.pairs)
        without = _other(compared, decided, rest, other)
        fell = about_fallen(compared.pairs, self.fallen, len(rest.pairs), other, rest.estimate.mean)
        why = (decided.why,) if decided.why and n else ()
        margin, level = of_family["margin"], of_family["level"]
        return found.but(
            **of_family,
            **_said(decided),
            **self._collapses(compared, decided, margin, level),
            unseen_bad_seed_rate_95=unseen_bad_seed_rate(n) if decided.harm_ruled_out else None,
            notes=(*why, *self._uncrossed(compared), *fell),
            beyond_margin=_is_beyond(found.low, found.high, margin),
            without_flagged=without,
            fragile=bool(without),
        )

    def _collapses(
        self, compared: Comparison, decided: Decision, margin: float, level: float
    ) -> dict[str, Any]:
        """Return, by field, which share of unseen collapses would undo a decided verdict."""
        if not decided.is_decided:
            return {}
        sides = zip(*compared.pairs, strict=True)
        arm, baseline = (self._side(list(cells)) for cells in sides)
        found = collapses(decided.kind, compared.estimate, margin, level, arm, baseline)
        if found is None:
            return {}
        return {
            "break_rate": found.rate,
            "collapse_rate_95": found.possible,
            "breaks_by_baseline": found.of_baseline,
        }

    def _side(self, cells: Sequence[Result]) -> Side:
        chance, mean = self.chance.of(cells[0]), mean_score(cells)
        runs, up = self.seen.of(cells[0]), 1 if cells[0].metric.higher_is_better else -1
        return Side(None if chance is None or mean is None else up * (mean - chance), runs)

    def _uncrossed(self, compared: Comparison) -> tuple[str, ...]:
        """Return why test items are no source of error although they could be; empty otherwise."""
        if not compared.pairs or self.read is None or compared.estimate.scope != THIS_TEST_SET:
            return ()
        why = why_uncrossed(compared.pairs, self.read)
        return (why,) if why else ()


def in_unit(rules: Rules, size: float) -> Rules:
    """Return the rules with their margin in the unit of the scores; a point has this size."""
    return rules if size == 1 else replace(rules, margin=float(f"{rules.margin * size:.3g}"))


def _decided(
    compared: Sequence[Comparison], rules: Rules, level: float, later: float, ahead: bool
) -> list[Decision]:
    estimates, gains = [one.estimate for one in compared], [one.shape for one in compared]
    return decide(estimates, gains, rules, level, later, ahead)


def _said(decided: Decision) -> dict[str, Any]:
    """Return the verdict's fields that come from a decision."""
    low, high = decided.seeds_range
    ends = {"seeds_needed_low": low, "seeds_needed_high": high, "verdict": decided.kind}
    return ends | {name: getattr(decided, name) for name in _SAME}


def _other(compared: Comparison, decided: Decision, rest: Comparison, without: Decision) -> str:
    """Return the name of the verdict without the flagged runs, if it differs.

    If no pair remains, this is `NOTHING_ELSE` where all runs of the baseline are flagged. It is
    empty where the arm's own runs all collapse: that harm is real.
    """
    if rest.pairs:
        return "" if without.kind is decided.kind else without.kind.value
    baseline = all(base.bears_flag for _, base in compared.pairs)
    return NOTHING_ELSE if compared.pairs and baseline and decided.is_decided else ""


def _is_beyond(low: float | None, high: float | None, margin: float) -> bool:
    return low is not None and high is not None and (low > margin or high < -margin)
