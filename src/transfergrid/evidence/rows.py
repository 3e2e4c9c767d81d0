"""Rows of the closing table: one per source, architecture, strategy, target and label budget."""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transfergrid.evidence import remarks
from transfergrid.evidence.checkpoints import is_one_checkpoint
from transfergrid.evidence.gains import Gain, gain, points, unit
from transfergrid.evidence.outcomes import Read
from transfergrid.record import Labels, Parts, Record

CLASSICAL = "logistic_regression"
"""The strategy whose arm shows what the target's labels give without any deep learning."""

CONSTANT = "majority"
"""The strategy whose arm always predicts the most frequent class."""

Key = tuple[Parts, Labels]
Code = Callable[[str], str]
Name = tuple[str, str | None]  # kind of part, digest


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
    contaminated_by: tuple[str, ...] = ()
    """Datasets that hold the target and that the source was trained on."""
    cut_texts: int = 0
    """Texts of the target that were longer than the model takes, and so were cut."""
    copies: dict[str, int] = dataclasses.field(default_factory=dict)
    """Test examples with copies in what was learned from; see `remarks.copy_counts`."""
    no_validation: str | None = None
    """Why nothing validated, where labels were enough for it: the last step was kept."""
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


def labels_order(labels: Labels) -> float:
    """Return a sort key under which 0, 2, 20 and all stand in this order."""
    return float("inf") if labels == "all" else labels


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
        self.groups = _grouped(self.by_id.values())
        self.failed = _grouped(failures)
        self.read = lru_cache(maxsize=256)(read) if read else None  # a baseline serves many arms
        self.names = _display_names(self.groups)
        self.baselines = {cell.baseline.id for cell in records if cell.baseline}
        self.classical = {
            (parts.target, labels): mean
            for (parts, labels), cells in self.groups.items()
            if cells[0].names.strategy == CLASSICAL and (mean := _mean(cells)) is not None
        }

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
            weak_baseline=self._is_weak(key),
            one_checkpoint=is_one_checkpoint(first),
            short=remarks.short_classes(cells),
            contaminated_by=remarks.seen_in(cells),
            cut_texts=remarks.cut_texts(cells),
            copies=remarks.copy_counts(cells),
            no_validation=remarks.no_validation(cells),
        )

    def _is_stale(self, cell: Record) -> bool:
        now = self.code(cell.config.get("strategy", {}).get("_target_", "")) if self.code else ""
        return bool(now) and cell.is_stale(now)

    def _gain(self, cells: list[Record]) -> tuple[str | None, Gain]:
        """Return the primary baseline's name and the gain over it."""
        named = [cell.baseline for cell in cells if cell.baseline]
        there = self._baselines(cells)
        found = gain([cell for cell in cells if cell.baseline], there, self.read)
        if there:
            return self.names[_key(there[0])][2], found
        return (named[0].name if named else None), found

    def _baselines(self, cells: list[Record]) -> list[Record]:
        """Return the primary baselines that are there, of one config: that of the newest of them.

        A baseline whose config was changed between two runs would else be averaged with its past.
        """
        named = [cell.baseline.id for cell in cells if cell.baseline]
        there = [self.by_id[identity] for identity in named if identity in self.by_id]
        newest = max(there, key=lambda cell: (cell.finished or "", cell.id), default=None)
        return [cell for cell in there if newest and cell.parts == newest.parts]

    def _is_weak(self, key: Key) -> bool:
        cells = self.groups[key]
        metric = cells[0].metric
        baseline = _mean(self._baselines(cells))
        classical = self.classical.get((key[0].target, key[1]))
        if classical is None or baseline is None:
            return False
        return baseline < classical if metric.higher_is_better else baseline > classical


def _key(cell: Record) -> Key:
    return cell.parts, cell.labels


def _grouped(cells: Iterable[Record]) -> dict[Key, list[Record]]:
    groups: defaultdict[Key, list[Record]] = defaultdict(list)
    for cell in sorted(cells, key=lambda cell: (cell.seed, cell.id)):
        groups[_key(cell)].append(cell)
    return dict(groups)


def _mean(cells: list[Record]) -> float | None:
    scores = [cell.score for cell in cells if cell.score is not None]
    return statistics.fmean(scores) if scores else None


def _seconds(cell: Record) -> float:
    return max(cell.cost.seconds.total - cell.cost.seconds.source, 0.0)


Shown = tuple[str | None, str | None, str, str]  # source, architecture, strategy, target


def _display_names(groups: dict[Key, list[Record]]) -> dict[Key, Shown]:
    """Return what each row is called: names, told apart by a digest where two parts share one."""
    used: defaultdict[tuple[Any, ...], set[str | None]] = defaultdict(set)
    for (parts, _), cells in groups.items():
        for label, digest in _labelled(parts, cells[0]):
            used[label].add(digest)

    def mark(label: tuple[Any, ...], digest: str | None) -> str:
        return f"#{digest[:4]}" if digest and len(used[label]) > 1 else ""

    shown: dict[Key, Shown] = {}
    for key, cells in groups.items():
        names = cells[0].names
        marks = [mark(label, digest) for label, digest in _labelled(key[0], cells[0])]
        source = names.source and names.source + marks[0]
        architecture = names.architecture and names.architecture + ("" if source else marks[0])
        shown[key] = source, architecture, names.strategy + marks[1], names.target + marks[2]
    trainings = {key: cells[0].names.training for key, cells in groups.items()}
    return _told_apart_by_training(shown, trainings)


def _labelled(parts: Parts, cell: Record) -> list[tuple[tuple[Any, ...], str | None]]:
    names = cell.names
    return [  # strategies take different parts of one source: it is told apart within a strategy
        (("source", names.source, names.architecture, parts.strategy), parts.source),
        (("strategy", names.strategy), parts.strategy),
        (("target", names.target), parts.target),
    ]


def _training_mark(key: Key, alike: list[Key], trainings: dict[Key, str | None]) -> str:
    """Return the training's name, or its digest where that tells it no better."""
    names = [trainings[other] for other in alike]
    name, digest = trainings[key], key[0].training
    if name and len(set(names)) == len(names):
        return f" {name}"
    return f"#{digest[:4]}" if digest else ""


def _told_apart_by_training(
    shown: dict[Key, Shown], trainings: dict[Key, str | None]
) -> dict[Key, Shown]:
    """Add the training to the strategy where rows would differ in nothing else shown."""
    alike: defaultdict[tuple[Any, ...], list[Key]] = defaultdict(list)
    for key, names in shown.items():
        alike[(*names, key[1])].append(key)
    for keys in alike.values():
        for key in keys if len(keys) > 1 else ():
            source, architecture, strategy, target = shown[key]
            told = _training_mark(key, keys, trainings)
            shown[key] = (source, architecture, strategy + told, target)
    return shown
