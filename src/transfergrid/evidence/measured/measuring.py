"""The measurements of each arm: its scores, and its gains over the baseline where it has one.

Nothing is decided here, and no interval is corrected for multiple comparisons: verdicts are decided
for a whole family at once, see `judging`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.measured import arms
from transfergrid.evidence.measured.arms import Key
from transfergrid.evidence.measured.gains import block_gains, estimated, magnitude, paired
from transfergrid.evidence.measured.outcomes import Outcomes, Read
from transfergrid.evidence.measured.remarks import Remarks, labels_got, seen_in
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.statistics.intervals import (
    THESE_MODELS,
    THIS_MODEL,
    THIS_TEST_SET,
    Estimate,
)
from transfergrid.evidence.statistics.skew import is_constant
from transfergrid.evidence.verdicts.fallen import fallen
from transfergrid.evidence.verdicts.families import Family, kind_of
from transfergrid.evidence.verdicts.notes import noted
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, TRANSFER, Verdict
from transfergrid.records.code import known_as
from transfergrid.records.metrics import labels_are
from transfergrid.records.points import points, unit


def measure(
    results: Iterable[Result],
    *,
    read: Read | None = None,
    failures: Iterable[Result] = (),
    remarks: Mapping[Key, Remarks] | None = None,
) -> list[Verdict]:
    """Return a row for every arm with a done cell, with or without a baseline: the table of gains.

    Sorted by target, labels, baseline (arms without one come first) and gain.

    Args:
        results: done cells, of any number of studies.
        read: returns a cell's predictions; with it, intervals also cover the choice of test items.
        failures: failed cells; each is counted in the arm that it belongs to.
        remarks: what the records say about an arm's data.
    """
    if read and not isinstance(read, Outcomes):
        read = lru_cache(maxsize=256)(read)  # many arms share one baseline
    measured, told = Measured(list(results), list(failures), read), remarks or {}
    rows = [
        measured.verdict(arm).but(remarks=told.get(arm.key, Remarks())) for arm in measured.arms()
    ]
    return sorted(noted(rows), key=_order)


def _order(row: Verdict) -> tuple[Any, ...]:
    best = -(row.gain or 0.0) if row.baseline else row.arm_mean or 0.0
    group = (row.architecture or "", row.baseline, row.weak_baseline)
    arm = (row.gain is None, best, row.source or "", row.strategy)
    return row.target, arms.labels_order(row.labels), bool(row.baseline), *group, *arm


@dataclass
class Comparison:
    """An arm and its baseline, paired by seed block."""

    key: Key
    cells: list[Result]
    baseline: str
    """The baseline's name in tables."""
    reference: str
    """The baseline's name in the cells."""
    pairs: list[tuple[Result, Result]]
    baselines: list[Result]
    read: Read | None
    fallen: Mapping[str, float]
    """The runs whose score fell far below the other seeds of their arm, by id; see
    `verdicts.fallen`."""

    @property
    def family(self) -> Family:
        """The family of comparisons that this one is corrected together with."""
        return Family(self.key[0].target, self.key[1], self.reference, self.kind)

    @property
    def kind(self) -> str:
        """Whether it shows transfer, a placebo, or an arm that has no source."""
        return kind_of(self.cells[0])

    @cached_property
    def gains(self) -> NDArray[np.float64]:
        """The gain of each seed block, in points."""
        return block_gains(self.pairs) if self.pairs else np.empty(0)

    @property
    def shape(self) -> NDArray[np.float64]:
        """The gains divided by the magnitude of the scores, so that their unit does not matter."""
        return self.gains / magnitude(self.pairs) if self.pairs else self.gains

    @cached_property
    def estimate(self) -> Estimate:
        """The mean gain with its standard error; NaN without error if there is no pair.

        If the models are deterministic, the estimate holds for new test items only (its scope says
        so).
        """
        if not self.pairs:
            return Estimate(float("nan"), None, None, THIS_MODEL, 0)
        found = estimated(self.pairs, self.read)
        by_items = self.is_deterministic and found.scope != THIS_TEST_SET
        return replace(found, scope=THESE_MODELS) if by_items else found

    @property
    def is_constant(self) -> bool:
        """Whether there are several seeds and all have the same gain."""
        return is_constant(self.shape)

    @property
    def is_deterministic(self) -> bool:
        """Whether there are several seeds and each side has the same score in all of them."""
        sides = ([cell.score or 0.0 for cell in side] for side in zip(*self.pairs, strict=True))
        if not self.pairs:
            return False
        size = magnitude(self.pairs)
        return all(is_constant(np.array(scores) / size) for scores in sides)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each pair."""
        return tuple(cell.seed for cell, _ in self.pairs)

    def without_flagged(self) -> Comparison:
        """Return the comparison without the pairs that contain a flagged or fallen run.

        It may have no pair left.
        """
        rest = [pair for pair in self.pairs if not any(map(self._is_flagged, pair))]
        return replace(self, pairs=rest) if len(rest) < len(self.pairs) else self

    def _is_flagged(self, cell: Result) -> bool:
        return cell.bears_flag or cell.id in self.fallen


class Measured:
    """All results, grouped by arm and indexed by cell id."""

    def __init__(self, results: list[Result], failures: list[Result], read: Read | None) -> None:
        self.read = read
        self.by_id = {cell.id: cell for cell in results}
        self.groups = arms.grouped(self.by_id.values())
        self.failed = arms.grouped(failures)
        everything: Mapping[Key, Sequence[Result]] = {**self.failed, **self.groups}
        self.names = arms.display_names(everything)
        self.classical = arms.classical_means(self.groups)
        self.beside = arms.without_network(self.groups)
        self.fallen = fallen(self.groups)
        self.collapsed = frozenset(cell.id for cell in results if cell.collapsed)
        self.underfit = frozenset(cell.id for cell in results if cell.underfit)
        self.code_now = cache(known_as)  # looked up once per class, not per cell
        self._baselines: dict[tuple[str, ...], list[Result]] = {}
        self.used = {cell.baseline.id for cell in results if cell.baseline}

    def arms(self) -> Iterator[Comparison]:
        """Yield each arm that has a done cell, with all its cells."""
        for key, cells in self.groups.items():
            compared = self._compared(key)
            yield replace(compared, cells=cells) if compared else self._comparison(key, cells)

    def comparisons(self) -> Iterator[Comparison]:
        """Yield each arm that names a baseline, even if it has no done cell."""
        return filter(None, map(self._compared, self.groups.keys() | self.failed.keys()))

    def _compared(self, key: Key) -> Comparison | None:
        cells = [cell for cell in self.groups.get(key, ()) if cell.baseline]
        tried = cells or [cell for cell in self.failed.get(key, ()) if cell.baseline]
        if not tried or key[0] == self._baseline_parts(tried):
            return None
        there = self._there(cells)
        asked = next(cell.baseline.name for cell in tried if cell.baseline)
        is_named = bool(there) and there[0].names.strategy == asked
        name = self.names[arms.key_of(there[0])][2] if is_named else asked
        return self._comparison(key, tried, name, asked, there)

    def _comparison(
        self, key: Key, cells: list[Result], name: str = "", asked: str = "",
        there: Sequence[Result] = (),
    ) -> Comparison:  # fmt: skip
        pairs = paired(cells, there)
        return Comparison(key, cells, name, asked, pairs, list(there), self.read, self.fallen)

    def _there(self, cells: Sequence[Result]) -> list[Result]:
        """Return the done primary baselines of these cells; cached, as many arms share them."""
        named = tuple([cell.baseline.id for cell in cells if cell.baseline])
        if named not in self._baselines:
            self._baselines[named] = arms.baselines_of(cells, self.by_id)
        return self._baselines[named]

    def _baseline_parts(self, cells: Sequence[Result]) -> object:
        """Return the parts of an arm that names itself as its baseline; None if it does not.

        Such an arm is not compared.
        """
        for cell in cells:
            if cell.baseline and cell.baseline.id == cell.id:
                return cell.parts
        return None

    def verdict(self, arm: Comparison) -> Verdict:
        """Return the arm's measurements as a verdict on which nothing is decided yet."""
        key, cells, pairs, estimate = arm.key, arm.cells, arm.pairs, arm.estimate
        source, architecture, strategy, target = self.names[key]
        low, high = estimate.interval()
        first, everything, bases = cells[0], self.groups.get(key, []), [base for _, base in pairs]
        scores = arms.valid_scores(everything)
        return Verdict(
            source=source,
            architecture=architecture,
            strategy=strategy,
            target=target,
            labels=key[1],
            baseline=arm.baseline,
            n=len(pairs) if arm.baseline else len(scores),
            gain=estimate.mean if pairs else None,
            low=low,
            high=high,
            kind=arm.kind,
            family=_family(target, arm),
            training=first.names.training,
            tuning=first.names.tuning,
            trials=_trials(cells),
            baseline_trials=_trials(bases),
            labels_are=labels_are(first.metric.name),
            metric=first.metric.name,
            unit=unit(first.metric),
            mean=arms.mean_score((c for c, _ in pairs) if arm.baseline else everything),
            baseline_mean=arms.mean_score(bases),
            beside=self.beside.get((key[0].target, key[1]), ()),
            validation=_validation(cells),
            labels_got=labels_got(cells),
            scope=estimate.scope if pairs else None,
            se=estimate.se,
            df=estimate.df,
            constant=arm.is_constant,
            one_checkpoint=first.one_checkpoint,
            weak_baseline=arms.is_weak(arm.baselines, key, self.classical),
            contaminated_by=seen_in(cells),
            unpaired=sum(bool(c.baseline) and c.score is not None for c in cells) - len(pairs),
            failed=len(self.failed.get(key, ())) + len(everything) - len(scores),
            collapsed=_count(cells, self.collapsed),
            underfit=_count(cells, self.underfit),
            baseline_collapsed=_count(bases, self.collapsed),
            baseline_underfit=_count(bases, self.underfit),
            fallen=sum(any(cell.id in self.fallen for cell in pair) for pair in pairs)
            if self.fallen
            else 0,
            stale=self._stale(cells),
            items=estimate.items,
            items_share=estimate.items_share,
            items_floor=estimate.items_floor,
            seconds=_seconds(cells),
            source_seconds=max((c.source_seconds for c in cells if c.source_seconds), default=None),
            seeds=arm.seeds,
            gains=tuple(arm.gains.tolist()),
            cells=tuple(cell.id for cell, _ in pairs),
            baseline_cells=tuple(base.id for _, base in pairs),
            source_part=key[0].source,
            strategy_part=key[0].strategy,
            target_part=key[0].target,
            training_part=key[0].training,
            tuning_part=key[0].tuning,
            reference=arm.reference,
            arm_n=len(scores),
            arm_mean=statistics.fmean(scores) if scores else None,
            arm_sd=_sd(tuple(scores)) if len(scores) > 1 else None,
            protocol=first.protocol,
            is_baseline=not arm.baseline or any(cell.id in self.used for cell in cells),
        )

    def _stale(self, cells: Sequence[Result]) -> int:
        """Return how many cells are stale, checked once for all cells with the same code."""
        codes: dict[tuple[str, str | None], list[Result]] = {}
        for cell in cells:
            codes.setdefault((cell.code, cell.strategy_class), []).append(cell)
        return sum(len(own) for own in codes.values() if own[0].is_stale(self.code_now))


def _count(cells: Iterable[Result], marked: Set[str]) -> int:
    """Return how many of the cells are marked; mostly no cell is marked."""
    return sum(cell.id in marked for cell in cells) if marked else 0


@lru_cache(maxsize=65_536)
def _sd(scores: tuple[float, ...]) -> float:
    """Return the standard deviation; cached, as it is slow and every baseline asks for it again."""
    return statistics.stdev(scores)


def _family(target: str, arm: Comparison) -> str:
    plural = {TRANSFER: "", PLACEBO: ", placebos", CONTROL: ", arms without a source"}
    compared = f"{target}, labels={arm.key[1]}, over {arm.baseline}{plural[arm.kind]}"
    return compared if arm.baseline else ""


def _trials(cells: Sequence[Result]) -> int:
    """Return the largest number of settings that a cell tried; 1 if nothing was searched."""
    return max((cell.trials or 1 for cell in cells), default=1)


def _validation(cells: Sequence[Result]) -> float | None:
    """Return the mean validation score in points."""
    scores = [c.validation_score for c in cells if c.validation_score is not None]
    scale = points(cells[0].metric)
    return statistics.fmean([scale * score for score in scores]) if scores else None


def _seconds(cells: Sequence[Result]) -> float | None:
    """Return a cell's mean time in seconds, without training the source, which is done once."""
    known = [c.seconds - (c.source_seconds or 0.0) for c in cells if c.seconds is not None]
    return max(statistics.fmean(known), 0.0) if known else None
