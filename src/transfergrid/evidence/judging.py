"""From results to verdicts: pair each arm with its baseline, decide family by family.

A family is one target × one label budget × one baseline. Placebos, and arms without any source, are
families of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from transfergrid.evidence import arms
from transfergrid.evidence.arm_means import mean_of, mean_seconds, without_network
from transfergrid.evidence.arms import Key
from transfergrid.evidence.compared import Comparison, bears_flag
from transfergrid.evidence.decisions import Decision, Rules, decide
from transfergrid.evidence.fallen import fallen
from transfergrid.evidence.fallen import told as about_fallen
from transfergrid.evidence.families import Family, ItemShare, Levels, RulesOf, arm_of, each
from transfergrid.evidence.gains import paired, why_uncrossed
from transfergrid.evidence.intervals import THIS_TEST_SET
from transfergrid.evidence.outcomes import Read
from transfergrid.evidence.remarks import labels_got
from transfergrid.evidence.results import Result
from transfergrid.evidence.unseen import Chance, Collapses, Marked, Seen, Side
from transfergrid.evidence.verdict_fields import of_collapses, of_decision
from transfergrid.evidence.verdict_notes import noted
from transfergrid.evidence.verdicts import CONTROL, NOTHING_ELSE, PLACEBO, TRANSFER, Verdict
from transfergrid.records.points import unit

Code = Callable[[str], str]


def judge(
    results: Iterable[Result],
    rules: Rules | RulesOf | None = None,
    *,
    read: Read | None = None,
    failures: Iterable[Result] = (),
    code: Code | None = None,
    levels: Levels | None = None,
    primary: bool = True,
) -> list[Verdict]:
    """Return the verdict on each arm that names a baseline.

    Ordered by target, labels, baseline, kind (transfer, placebo, control) and gain.

    Args:
        results: done cells; the baseline that they name is the one they are judged against (see
            `comparisons.over` for another).
        rules: as declared, for all families or for each.
        read: gives a cell's predictions, best as `Outcomes`; without it test items are no source
            of error, and verdicts speak of this test set.
        failures: failed cells, counted in the arms that they would have joined.
        code: gives the fingerprint that a strategy's code has now; see `rows.table_rows`.
        levels: gives the error that each family may make; by default `rules.alpha`.
        primary: whether the baselines are the primary ones.
    """
    rules_of = each(rules or Rules())
    table = _Table(list(results), list(failures), read, code)
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
        verdicts += table.family(compared, decided_by, primary, *at)
    return sorted(noted(verdicts), key=_order)


def _order(verdict: Verdict) -> tuple[object, ...]:
    kinds = (TRANSFER, PLACEBO, CONTROL)
    return (
        verdict.target,
        arms.labels_order(verdict.labels),
        verdict.baseline,
        kinds.index(verdict.kind),
        verdict.gain is None,
        -(verdict.gain or 0.0),
        verdict.source or "",
        verdict.strategy,
    )


class _Table:
    """All results, grouped by arm and found by identity."""

    def __init__(
        self, results: list[Result], failures: list[Result], read: Read | None, code: Code | None
    ) -> None:
        self.read, self.code = read, code
        self.by_id = {cell.id: cell for cell in results}
        self.groups = arms.grouped(self.by_id.values())
        self.failed = arms.grouped(failures)
        everything: Mapping[Key, Sequence[Result]] = {**self.failed, **self.groups}
        self.names = arms.display_names(everything)
        self.classical = arms.classical_means(self.groups)
        self.beside = without_network(self.groups)
        self.fallen = fallen(self.groups)
        self.seen = Seen(results)
        self.chance = Chance(self.beside)

    def comparisons(self) -> Iterable[Comparison]:
        """Yield each arm that names a baseline, be it one of which nothing is done."""
        for key in self.groups.keys() | self.failed.keys():
            cells = [cell for cell in self.groups.get(key, ()) if cell.baseline]
            tried = cells or [cell for cell in self.failed.get(key, ()) if cell.baseline]
            if not tried or key[0] == self._baseline_parts(tried):
                continue
            there = arms.baselines_of(cells, self.by_id)
            asked = next(cell.baseline.name for cell in tried if cell.baseline)
            is_named = bool(there) and there[0].names.strategy == asked
            name = self.names[arms.key_of(there[0])][2] if is_named else asked
            pairs = paired(cells, there)
            yield Comparison(key, cells or tried, name, asked, pairs, there, self.read, self.fallen)

    def _baseline_parts(self, cells: Sequence[Result]) -> object:
        """Return the parts of an arm that is named as its own baseline, which is no comparison."""
        own = [cell for cell in cells if cell.baseline and cell.baseline.id == cell.id]
        return own[0].parts if own else None

    def family(
        self, compared: list[Comparison], rules: Rules, primary: bool, level: float, later: float
    ) -> list[Verdict]:
        """Decide one family."""
        decisions = _decided(compared, rules, level, later)
        unflagged = [one.without_flagged() for one in compared]
        changed = any(rest is not one for rest, one in zip(unflagged, compared, strict=True))
        again = _decided(unflagged, rules, level, later) if changed else decisions
        size = sum(decision.p is not None for decision in decisions)
        return [
            self.verdict(
                comparison,
                decision,
                self._collapses(comparison, decision, rules.margin, level),
                margin=rules.margin,
                level=level,
                power=rules.power,
                family_size=size,
                without_flagged=_other(comparison, decision, rest, other),
                apart=self._apart(comparison, rest, other),
                primary=primary,
            )
            for comparison, decision, rest, other in zip(
                compared, decisions, unflagged, again, strict=True
            )
        ]

    def _apart(self, compared: Comparison, rest: Comparison, other: Decision) -> tuple[str, ...]:
        gain = rest.estimate.mean
        return about_fallen(compared.pairs, self.fallen, len(rest.pairs), other, gain)

    def _collapses(
        self, compared: Comparison, decided: Decision, margin: float, level: float
    ) -> Collapses | None:
        """Return which share of unseen collapses would undo a decided verdict."""
        if not decided.is_decided:
            return None
        sides = zip(*compared.pairs, strict=True)
        arm, baseline = (self._side(list(cells)) for cells in sides)
        marked = Marked(decided.kind, compared.estimate, margin, level)
        return marked.collapses(arm, baseline)

    def _side(self, cells: Sequence[Result]) -> Side:
        chance, mean = self.chance.of(cells[0]), mean_of([c.score for c in cells], cells[0])
        runs, up = self.seen.of(cells[0]), 1 if cells[0].metric.higher_is_better else -1
        return Side(None if chance is None or mean is None else up * (mean - chance), runs)

    def verdict(
        self,
        compared: Comparison,
        decided: Decision,
        collapses: Collapses | None,
        *,
        margin: float,
        apart: tuple[str, ...],
        **of_family: Any,
    ) -> Verdict:
        """Put together what is said of one comparison and, by field, of its family."""
        key, cells, pairs, estimate = (
            compared.key,
            compared.cells,
            compared.pairs,
            compared.estimate,
        )
        source, architecture, strategy, target = self.names[key]
        low, high = estimate.interval()
        first, kind = cells[0], compared.kind
        return Verdict(
            source=source,
            architecture=architecture,
            strategy=strategy,
            target=target,
            labels=key[1],
            baseline=compared.baseline,
            n=len(pairs),
            gain=estimate.mean if pairs else None,
            low=low,
            high=high,
            **of_decision(decided, len(pairs)),
            **of_collapses(collapses),
            notes=(
                *((decided.why,) if decided.why and pairs else ()),
                *self._uncrossed(compared),
                *apart,
            ),
            kind=kind,
            family=_named(target, compared),
            training=first.names.training,
            metric=first.metric.name,
            unit=unit(first.metric),
            mean=mean_of([cell.score for cell, _ in pairs], first),
            baseline_mean=mean_of([base.score for _, base in pairs], first),
            beside=self.beside.get((key[0].target, key[1]), ()),
            validation=mean_of([cell.validation_score for cell in cells], first),
            labels_got=labels_got(cells),
            scope=estimate.scope if pairs else None,
            se=estimate.se,
            df=estimate.df,
            margin=margin,
            beyond_margin=_is_beyond(low, high, margin),
            constant=compared.is_constant,
            one_checkpoint=first.one_checkpoint,
            weak_baseline=arms.is_weak(compared.baselines, key, self.classical),
            contaminated_by=tuple(dict.fromkeys(n for c in cells for n in c.flags.contaminated_by)),
            unpaired=sum(cell.score is not None for cell in cells) - len(pairs),
            failed=len(self.failed.get(key, ()))
            + sum(cell.score is None for cell in self.groups.get(key, ())),
            collapsed=sum(cell.flags.collapsed for cell in cells),
            underfit=sum(cell.flags.underfit for cell in cells),
            baseline_collapsed=sum(base.flags.collapsed for _, base in pairs),
            baseline_underfit=sum(base.flags.underfit for _, base in pairs),
            fallen=sum(any(cell.id in self.fallen for cell in pair) for pair in pairs),
            stale=sum(self._is_stale(cell) for cell in cells),
            items=estimate.items,
            items_share=estimate.items_share,
            seconds=mean_seconds(cells),
            source_seconds=max((c.source_seconds for c in cells if c.source_seconds), default=None),
            seeds=compared.seeds,
            gains=tuple(compared.gains.tolist()),
            cells=tuple(cell.id for cell, _ in pairs),
            baseline_cells=tuple(base.id for _, base in pairs),
            source_part=key[0].source,
            strategy_part=key[0].strategy,
            target_part=key[0].target,
            training_part=key[0].training,
            reference=compared.reference,
            fragile=bool(of_family["without_flagged"]),
            **of_family,
        )

    def _uncrossed(self, compared: Comparison) -> tuple[str, ...]:
        """Say why test items are no source of error where they could be."""
        if not compared.pairs or self.read is None or compared.estimate.scope != THIS_TEST_SET:
            return ()
        why = why_uncrossed(compared.pairs, self.read)
        return (why,) if why else ()

    def _is_stale(self, cell: Result) -> bool:
        now = self.code(cell.strategy_class) if self.code and cell.strategy_class else ""
        return bool(now) and cell.code != now


def _decided(
    compared: Sequence[Comparison], rules: Rules, level: float, later: float
) -> list[Decision]:
    estimates, gains = [one.estimate for one in compared], [one.gains for one in compared]
    return decide(estimates, gains, rules, level, later)


def _other(compared: Comparison, decided: Decision, rest: Comparison, without: Decision) -> str:
    """Name the verdict without the flagged runs, if it is another one.

    An arm that always collapses has none, and is no less hurt for that.
    """
    if rest.pairs:
        return "" if without.kind is decided.kind else without.kind.value
    baseline = all(bears_flag(base) for _, base in compared.pairs)
    return NOTHING_ELSE if compared.pairs and baseline and decided.is_decided else ""


def _is_beyond(low: float | None, high: float | None, margin: float) -> bool:
    return low is not None and high is not None and (low > margin or high < -margin)


def _named(target: str, compared: Comparison) -> str:
    plural = {TRANSFER: "", PLACEBO: ", placebos", CONTROL: ", arms without a source"}
    return f"{target}, labels={compared.key[1]}, over {compared.baseline}{plural[compared.kind]}"
