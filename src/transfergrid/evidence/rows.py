"""Rows of the closing table: one per source, architecture, strategy, target and label budget."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transfergrid.evidence import remarks
from transfergrid.evidence.arms import (
    CONSTANT,
    Key,
    baselines_of,
    classical_means,
    display_names,
    grouped,
    is_weak,
    key_of,
    labels_order,
)
from transfergrid.evidence.gains import Gain, gain
from transfergrid.evidence.outcomes import Read
from transfergrid.records.cell import Labels
from transfergrid.records.origins import is_one_checkpoint
from transfergrid.records.points import points, unit
from transfergrid.records.record import Record

Code = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm over its seeds. Scores, their spread and gains are in points (0 to 1 reads as 100).

    The fields up to `seconds` are the columns of the JSON and CSV output.
    """

    source: str | None
    architecture: str | None
    strategy: str
    target: str
    labels: Labels
    baseline: str | None
    """What `gain` is measured against; None for an arm that is compared with nothing."""
    n: int
    """Seeds with a valid score."""
    mean: float | None
    sd: float | None
    """Over seeds; None for fewer than two."""
    gain: float | None
    """Mean over paired seeds, more is better whatever the metric."""
    low: float | None
    """Lower end of the gain's *uncorrected* 95 % interval."""
    high: float | None
    seconds: float
    """Mean wall-clock time of a cell, without training its source: that is done once, and would
    count for the arm that happens to come first."""
    metric: str = "accuracy"
    unit: str = "%"
    scope: str | None = None
    """What the interval covers."""
    paired: int = 0
    """Seeds that the gain is made of."""
    unpaired: int = 0
    """Cells whose baseline is missing, failed, or of another config than the newest one."""
    failed: int = 0
    """Cells of this arm that failed and are not in `n`."""
    collapsed: int = 0
    underfit: int = 0
    stale: int = 0
    """Cells run with other code of the strategy than there is now."""
    is_baseline: bool = False
    """Whether another row's gain is measured against this one, or it has no baseline itself."""
    weak_baseline: bool = False
    """Whether the baseline scores below the classical learner: little is gained over little."""
    one_checkpoint: bool = False
    """Whether all seeds start from the same source weights, of which alone the gain speaks."""
    short: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    """Classes with fewer labels than asked for: (asked, fewest got)."""
    labels_got: tuple[int, int] | None = None
    """Fewest and most labels that a class got, where these are others than `labels`."""
    contaminated_by: tuple[str, ...] = ()
    """Datasets that hold the target and that the source was trained on."""
    cut_texts: int = 0
    """Texts of the target that were longer than the model takes, and so were cut."""
    copies: dict[str, int] = dataclasses.field(default_factory=dict)
    """Test examples with copies in what was learned from; see `remarks.copy_counts`."""
    no_validation: str | None = None
    """Why nothing validated, where labels were enough for it: the last step was kept."""
    untested: tuple[str, ...] = ()
    """Classes that no test example is of: what is a mean over classes leaves them out."""
    group: str | None = None
    """The group of test items that it is about; None for all."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row by field name."""
        return dataclasses.asdict(self)


def table_rows(
    records: Iterable[Record],
    failures: Iterable[Record] = (),
    read: Read | None = None,
    code: Code | None = None,
) -> list[Row]:
    """Group done cells into rows, ordered by target, labels, baseline (none first) and gain.

    Args:
        records: done cells, of any number of studies.
        failures: failed cells, counted in the rows that they would have joined.
        read: gives a cell's per-example predictions, for intervals that cover the test items.
        code: gives the fingerprint that a strategy's code has now, "" where that is unknown, by
            the dotted path of its class; cells run with other code are counted as stale.
    """
    table = _Table(list(records), list(failures), read, code)
    return sorted((table.row(key) for key in table.groups), key=_order)


def _order(row: Row) -> tuple[Any, ...]:
    compared = row.baseline is not None
    best = -(row.gain or 0.0) if compared else row.mean or 0.0
    group = (row.architecture or "", row.baseline or "", row.weak_baseline)
    arm = (row.gain is None, best)
    return (
        row.target,
        labels_order(row.labels),
        compared,
        *group,
        *arm,
        row.source or "",
        row.strategy,
    )


class _Table:
    """The cells of one table, grouped and found by identity."""

    def __init__(
        self, records: list[Record], failures: list[Record], read: Read | None, code: Code | None
    ) -> None:
        self.code = code
        self.by_id = {cell.id: cell for cell in records}
        self.groups = grouped(self.by_id.values())
        self.failed = grouped(failures)
        self.read = lru_cache(maxsize=256)(read) if read else None  # a baseline serves many arms
        self.names = display_names(self.groups)
        self.baselines = {cell.baseline.id for cell in records if cell.baseline}
        self.classical = classical_means(self.groups)

    def row(self, key: Key) -> Row:
        cells = self.groups[key]
        first = cells[0]
        scores = [points(first.metric) * cell.score for cell in cells if cell.score is not None]
        source, architecture, strategy, target = self.names[key]
        against, found = self._gain(cells)
        constant = first.names.strategy == CONSTANT  # predicts one class by definition
        return Row(
            source=source,
            architecture=architecture,
            strategy=strategy,
            target=target,
            labels=first.labels,
            baseline=against,
            n=len(scores),
            mean=statistics.fmean(scores) if scores else None,
            sd=statistics.stdev(scores) if len(scores) > 1 else None,
            gain=found.mean,
            low=found.low,
            high=found.high,
            seconds=statistics.fmean(_seconds(cell) for cell in cells),
            metric=first.metric.name,
            unit=unit(first.metric),
            scope=found.scope if found.n else None,
            paired=found.n,
            unpaired=found.unpaired,
            failed=len(self.failed.get(key, ())),
            collapsed=0 if constant else sum(cell.flags.collapsed for cell in cells),
            underfit=0 if constant else sum(cell.flags.underfit for cell in cells),
            stale=sum(self._is_stale(cell) for cell in cells),
            is_baseline=against is None or any(cell.id in self.baselines for cell in cells),
            weak_baseline=is_weak(baselines_of(cells, self.by_id), key, self.classical),
            one_checkpoint=is_one_checkpoint(first),
            short=remarks.short_classes(cells),
            labels_got=remarks.labels_got(cells),
            contaminated_by=remarks.seen_in(cells),
            cut_texts=remarks.cut_texts(cells),
            copies=remarks.copy_counts(cells),
            no_validation=remarks.no_validation(cells),
            untested=remarks.untested(cells),
        )

    def _is_stale(self, cell: Record) -> bool:
        now = self.code(cell.strategy_class) if self.code and cell.strategy_class else ""
        return bool(now) and cell.is_stale(now)

    def _gain(self, cells: list[Record]) -> tuple[str | None, Gain]:
        """Return the primary baseline's name and the gain over it."""
        named = [cell.baseline for cell in cells if cell.baseline]
        there = baselines_of(cells, self.by_id)
        found = gain([cell for cell in cells if cell.baseline], there, self.read)
        if there:
            return self.names[key_of(there[0])][2], found
        return (named[0].name if named else None), found


def _seconds(cell: Record) -> float:
    return max(cell.cost.seconds.total - cell.cost.seconds.source, 0.0)
