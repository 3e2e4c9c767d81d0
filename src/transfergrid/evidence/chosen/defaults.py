"""The best setting of each strategy over development targets, from which defaults are chosen.

Among the settings that all cells of a strategy tried, the one with the best mean score over cells
is chosen. Scores are averaged, not ranks, because the cost of a bad default is in points: a setting
that is slightly better in most cells and collapses in one would win by ranks. The unit is the cell,
so each target, label budget and seed has the same weight. Test scores are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np

from transfergrid.evidence.statistics.intervals import over_blocks
from transfergrid.records.errors import BadInputError
from transfergrid.records.points import points
from transfergrid.records.record import Record, Trial

Setting = tuple[tuple[str, float], ...]
"""Values by argument, sorted by name."""


@dataclass(frozen=True)
class Default:
    """The setting chosen for a strategy; scores are in points, on the data that judged its trials.

    Attributes:
        strategy: its name.
        setting: the chosen value of each searched argument.
        score: the mean over cells.
        low: lower end of the mean's 95 % interval for other seeds; None for one seed.
        high: upper end of the interval.
        seeds: number of seeds in the interval.
        cells: number of cells in the mean: targets times label budgets times seeds.
        trials: number of settings that all cells tried, among which the choice was made.
        failed: number of trials without a score; each counts as the worst of its cell.
        ahead: the lead of the chosen setting over the best other one; None if there is only one
            setting. Below 0 if the baselines with which a value is shared outvoted the strategy.
        edges: arguments whose chosen value is the smallest or largest of those tried.
        tried: smallest and largest value tried of each argument.
        now: the value of each argument without a search.
        shares: strategies with which it must share a value by definition.
        alone: the setting that it would have chosen without these; None if it is the same.
    """

    strategy: str
    setting: Mapping[str, float]
    score: float
    low: float | None
    high: float | None
    seeds: int
    cells: int
    trials: int
    failed: int
    ahead: float | None
    edges: tuple[str, ...]
    tried: Mapping[str, tuple[float, float]]
    now: Mapping[str, float]
    shares: tuple[str, ...] = ()
    alone: Mapping[str, float] | None = None


@dataclass(frozen=True, eq=False)
class Arm:
    """The tuned cells of one strategy."""

    strategy: str
    cells: Sequence[Record]

    @cached_property
    def scores(self) -> dict[Setting, list[float]]:
        """The score of each setting that all cells tried, by cell; more is better.

        Raises:
            BadInputError: no setting was tried by all cells.
        """
        each = [_scores(cell) for cell in self.cells]
        common = sorted(set.intersection(*map(set, each)))
        if not common:
            raise BadInputError(
                f"{self.strategy}: no setting was tried by all of its {len(each)} cells, and a "
                "default is chosen among those: take tuning=grid or tuning=random"
            )
        return {setting: [scores[setting] for scores in each] for setting in common}

    @cached_property
    def means(self) -> dict[Setting, float]:
        """The mean score of each setting, more is better."""
        return {setting: fmean(scores) for setting, scores in self.scores.items()}

    def best(self, kept: Mapping[str, float] | None = None) -> Setting:
        """Return the best setting among those with these values; of equal ones, the smallest."""
        fitting = [s for s in self.means if (kept or {}).items() <= dict(s).items()]
        return max(fitting, key=lambda setting: self.means[setting])

    @property
    def space(self) -> Mapping[str, Mapping[str, object]]:
        """The search space that its strategy declares."""
        about = self.cells[0].config["strategy"].get("about") or {}
        return about.get("space") or {}

    @property
    def tied(self) -> set[str]:
        """Names of the arguments that always equal those of its baselines."""
        return {name for name, told in self.space.items() if told.get("as_baseline")}

    @property
    def baselines(self) -> set[str]:
        """Names of the primary baselines."""
        told = (self.cells[0].config["strategy"].get("about") or {}).get("baselines") or {}
        return {str(told[key]) for key in ("labelled", "unlabelled") if told.get(key)}

    @property
    def arguments(self) -> list[str]:
        """Names of the searched arguments."""
        return [name for name, _ in next(iter(self.scores))]

    def ends(self, name: str) -> tuple[float, float]:
        """Return the smallest and the largest tried value of an argument."""
        values = [dict(setting)[name] for setting in self.scores]
        return min(values), max(values)

    def over_seeds(self, setting: Setting) -> list[float]:
        """Return the mean score of a setting by seed."""
        by_seed: dict[int, list[float]] = {}
        for cell, score in zip(self.cells, self.scores[setting], strict=True):
            by_seed.setdefault(cell.seed, []).append(score)
        return [fmean(scores) for scores in by_seed.values()]


def defaults(records: Sequence[Record]) -> list[Default]:
    """Return the choice for each strategy, sorted by name.

    Args:
        records: tuned cells, all of one training.

    Raises:
        BadInputError: no choice is possible from these cells.
    """
    metrics = sorted({record.metric.name for record in records})
    if len(metrics) > 1:
        raise BadInputError(
            f"scores by {' and '.join(metrics)} have no mean: tune for these targets one by one"
        )
    found = []
    for group in _groups(_arms(records)):
        kept = _shared(group) if len(group) > 1 else {}
        names = [arm.strategy for arm in group] if kept else []
        found += [_default(arm, kept, [n for n in names if n != arm.strategy]) for arm in group]
    return sorted(found, key=lambda default: default.strategy)


def _arms(records: Sequence[Record]) -> list[Arm]:
    by_name: dict[str, list[Record]] = {}
    for record in records:
        if _trials(record):
            by_name.setdefault(record.names.strategy, []).append(record)
    return [Arm(name, cells) for name, cells in sorted(by_name.items())]


def _scores(cell: Record) -> dict[Setting, float]:
    """Return the score of each setting of a cell in points, more is better."""
    size = points(cell.metric) * _sign(cell)
    scores = {tuple(sorted(trial.values.items())): trial.score for trial in _trials(cell)}
    worst = min(size * score for score in scores.values() if score is not None)
    return {s: worst if score is None else size * score for s, score in scores.items()}


def _groups(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Return the arms grouped by shared values: each with the baselines that it is tied to."""
    groups = [{arm.strategy} for arm in arms]
    for arm in arms:
        if arm.tied:
            together = {arm.strategy, *arm.baselines}
            met = [group for group in groups if group & together]
            groups = [group for group in groups if group not in met] + [set().union(*met)]
    return [[arm for arm in arms if arm.strategy in group] for group in groups]


def _shared(group: Sequence[Arm]) -> dict[str, float]:
    """Return the shared values that maximise the sum of the arms' best scores with them."""
    tied = set.union(*(arm.tied for arm in group))
    names = sorted(tied.intersection(*(arm.arguments for arm in group)))
    options: list[set[tuple[float, ...]]] = [
        {tuple(dict(s)[name] for name in names) for s in arm.scores} for arm in group
    ]
    common: list[tuple[float, ...]] = sorted(set.intersection(*options)) if names else []

    def together(values: tuple[float, ...]) -> float:
        kept = dict(zip(names, values, strict=True))
        return sum(arm.means[arm.best(kept)] for arm in group)

    if not common:
        return {}
    best = max(common, key=together)
    return dict(zip(names, best, strict=True))


def _default(arm: Arm, kept: Mapping[str, float], others: Sequence[str]) -> Default:
    chosen, alone = arm.best(kept), arm.best()
    rest = [mean for setting, mean in arm.means.items() if setting != chosen]
    values, sign = dict(chosen), _sign(arm.cells[0])
    over = over_blocks(np.array([sign * score for score in arm.over_seeds(chosen)]))
    ends = {name: arm.ends(name) for name in values}
    config = arm.cells[0].config["strategy"]
    return Default(
        strategy=arm.strategy,
        setting=values,
        score=sign * arm.means[chosen],
        low=over.low,
        high=over.high,
        seeds=over.n,
        cells=len(arm.cells),
        trials=len(arm.scores),
        failed=sum(trial.score is None for cell in arm.cells for trial in _trials(cell)),
        ahead=arm.means[chosen] - max(rest) if rest else None,
        edges=tuple(n for n, value in values.items() if _is_edge(value, ends[n])),
        tried=ends,
        now={name: config[name] for name in values},
        shares=tuple(others),
        alone=dict(alone) if others and alone != chosen else None,
    )


def _is_edge(value: float, ends: tuple[float, float]) -> bool:
    return ends[0] < ends[1] and value in ends


def _trials(cell: Record) -> tuple[Trial, ...]:
    return cell.tuning.trials if cell.tuning else ()


def _sign(cell: Record) -> int:
    return 1 if cell.metric.higher_is_better else -1
