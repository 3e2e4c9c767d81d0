"""Verdicts on foreign results: any table of runs becomes results and is judged by the one rule.

Pairing: a row whose strategy is the baseline (`scratch`) serves every arm of the same target,
labels and seed, and of the same architecture if the table has that column, whatever source the row
names. If a block has several such rows with different scores, each was run beside one source, and
an arm is compared with the row of its own source. If its source has none, the pairing is ambiguous
and the table is refused. Rows that repeat one score count once.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from transfergrid.evidence.declared.looks import TableLooks
from transfergrid.evidence.foreign.columns import (
    BUDGETS,
    PER_CLASS,
    TableColumns,
    Wide,
    filled,
    units,
)
from transfergrid.evidence.foreign.files import as_narwhals, table_of
from transfergrid.evidence.foreign.scales import scales_of
from transfergrid.evidence.foreign.tables import Run, Runs, runs_of
from transfergrid.evidence.measured.arms import CLASSICAL
from transfergrid.evidence.measured.results import (
    CONSTANT,
    Result,
    shared_metric,
    shared_names,
    shared_parts,
)
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.notes import ONE_TEST_SET
from transfergrid.evidence.verdicts.verdict import FIELDS, Verdict
from transfergrid.records.cell import Labels, Reference
from transfergrid.records.errors import BadInputError, check_known, did_you_mean
from transfergrid.records.files.spellings import alike, listed, near

SEED = "seed"
FEWEST_BLOCKS = 5
"""From this number of targets, tasks or splits on, a verdict may generalise to others."""
UNNAMED = "unnamed"
"""The source's name in a table without that column."""

Block = tuple[str | None, str, Labels, int]  # architecture, target, labels, seed


@dataclass(frozen=True)
class Foreign:
    """The results of a table, and what was assumed in reading it."""

    results: list[Result]
    notes: tuple[str, ...]
    labels_are: str = PER_CLASS
    """The meaning of a number of labels; see `columns.BUDGETS`."""
    block: str = SEED
    """What the runs of a block have in common."""
    parts: frozenset[str] = frozenset()
    """The targets whose scores are parts of a whole and shown in per cent."""


def verdicts(
    frame: Any,
    *,
    unit: str | Mapping[str, str] | None = None,
    wide: str | None = None,
    fill: Mapping[str, str] | None = None,
    **told: Any,
) -> Any:
    """Return the verdict on each arm of a table of runs, one row per arm.

    Without per-example predictions the luck of the test set cannot be covered: all verdicts hold
    for this test set. A blank or non-finite score is a failed run: it is counted and left out.

    Args:
        frame: a pandas, Polars or PyArrow data frame with one run per row (long format); or the
            path of a table, or columns by name.
        unit: the unit of the scores, "share", "percent" or "plain" (a unit of their own), or the
            unit of each target. By default the scores of a target are shares if all of them lie in
            -1 to 1, else points; an ambiguous unit is refused.
        wide: for a table with several score columns, what their headings name, such as "target", or
            "target,seed" for two rows of headings; "target=a,b" selects these columns.
        fill: by column, the value of all rows, where the table has no such column.
        told: the other fields of `TableColumns`, such as `strategy="method"`, and those of `Rules`,
            such as `margin=2`.

    Returns:
        A data frame of the same library, with the fields of `Verdict` as columns; a list of
        dictionaries for a path or for columns by name.

    Raises:
        BadInputError: a column is missing, a row makes no sense, or there is no such argument.
    """
    rules = {each.name: told.pop(each.name) for each in fields(Rules) if each.name in told}
    for name in told:
        check_known("argument", name, [each.name for each in fields(TableColumns)])
    columns = TableColumns(
        units=units([unit]) if isinstance(unit, str) else dict(unit or {}),
        wide=Wide.parse(wide) if wide else None,
        fill=filled([f"{name}={value}" for name, value in (fill or {}).items()]),
        **told,
    )
    found = judge_table(read_foreign(frame, columns), Rules(**rules))
    rows = [verdict.as_dict() for verdict in found]
    return rows if isinstance(frame, (str, Path, Mapping)) else _like(frame, rows)


def judge_table(
    table: Foreign, rules: Rules | None = None, looks: TableLooks | None = None
) -> list[Verdict]:
    """Return the verdicts on a table's results; each carries the table's notes."""
    rules = rules or Rules()
    found = judge(table.results, rules, levels=(looks or TableLooks()).levels(rules.alpha))
    return [
        replace(
            verdict,
            notes=(*_about_blocks(verdict, table.block), *table.notes),
            labels_are=table.labels_are,
            block=table.block,
            unit="%" if verdict.target in table.parts else verdict.unit,
            scope=verdict.scope if table.block == SEED or verdict.n < 2 else f"{table.block}s",
        )
        for verdict in found
    ]


def _about_blocks(verdict: Verdict, block: str) -> list[str]:
    """Return a verdict's notes; with blocks other than seeds there is not one test set."""
    if block == SEED:
        return list(verdict.notes)
    notes = [
        re.sub(r"\bseed(?=s?\b)", lambda _: block, note)
        for note in verdict.notes
        if note != ONE_TEST_SET
    ]
    if verdict.n >= FEWEST_BLOCKS:
        notes.append(f"as sure as these {block}s are drawn from those that are meant")
    elif verdict.n > 1:
        notes.append(f"{verdict.n} {block}s are too few to speak of others")
    return notes


def read_foreign(frame: Any, columns: TableColumns | None = None) -> Foreign:
    """Return the results of a path, a data frame or columns by name, and the assumptions made.

    Raises:
        BadInputError: a column is missing, or a row makes no sense; the line is named.
    """
    columns = columns or TableColumns()
    check_known("labels_are", columns.labels_are, BUDGETS)
    read = runs_of(table_of(frame, columns), columns)
    _check_unique(read.runs)
    _check_placebos(read, columns)
    baselines = _Baselines(read.runs, columns.baseline)
    scales, note, parts = scales_of(read.runs, columns)
    results = {}
    for run in read.runs:
        result = _result(run, baselines, columns, scales[run.scale], "source" in read.has)
        results[result.id] = result  # repeated rows of one baseline count once
    _check_compared(results, columns.baseline, read)
    notes = [*read.notes, note, *baselines.notes(), *_alike(read.runs)]
    told = tuple(note for note in notes if note)
    shown = {run.target for run in read.runs if run.scale in parts}
    shown -= {run.target for run in read.runs if run.scale not in parts}
    block = columns.block or SEED
    return Foreign(list(results.values()), told, columns.labels_are, block, frozenset(shown))


def _alike(runs: Sequence[Run]) -> list[str]:
    """Return notes on names that differ only in spelling, as they count as different names."""
    names = {
        "strategies": {run.strategy for run in runs},
        "sources": {run.source for run in runs if run.source},
        "targets": {run.target for run in runs},
    }
    found = {what: alike(some, near) for what, some in names.items()}
    return [f"{what} {listed(sets)} are taken for different ones"
            for what, sets in found.items() if sets]  # fmt: skip


def _check_unique(runs: Sequence[Run]) -> None:
    seen: dict[object, Run] = {}
    for run in runs:
        before = seen.setdefault((run.source, run.strategy, _block(run)), run)
        if before is not run:
            what = f"{_arm(run)}, labels={run.labels}, seed={run.seed}"
            raise BadInputError(
                f"{run.place} is the same run as {_short(before)}: {what}; what else tells them "
                "apart, --block COLUMN names"
            )


def _arm(run: Run) -> str:
    arm = " ".join(part for part in (run.source, run.architecture, run.strategy) if part)
    return f"{arm} on {run.target}"


def _short(run: Run) -> str:
    """Return only the "line 4" of the run's place."""
    return run.place.rpartition(": ")[2]


def _check_placebos(read: Runs, columns: TableColumns) -> None:
    sources = {run.source for run in read.runs if run.source}
    for pattern in columns.placebos:
        if not any(fnmatchcase(name, pattern) for name in sources):
            raise BadInputError(
                f"no source is the placebo {pattern!r}{did_you_mean(pattern, sources)}"
            )


def _check_compared(results: Mapping[str, Result], baseline: str, read: Runs) -> None:
    """Raise `BadInputError` if no arm has a baseline with the same key."""
    arms = [result for result in results.values() if result.baseline]
    if arms and not any(arm.baseline and arm.baseline.id in results for arm in arms):
        shared = [
            name for name in ("architecture", "target", "labels") if name in (*read.has, "target")
        ]
        raise BadInputError(
            f"nothing to compare: no row has {', '.join(shared)} and seed in common with a row of "
            f"strategy {baseline!r}"
        )


class _Baselines:
    """The baseline rows, indexed by block."""

    def __init__(self, runs: Sequence[Run], strategy: str) -> None:
        self.strategy = strategy
        self.blocks: defaultdict[Block, list[Run]] = defaultdict(list)
        for run in runs:
            if run.strategy == strategy:
                self.blocks[_block(run)].append(run)
        if not self.blocks:
            known = sorted({run.strategy for run in runs})
            told = f"{did_you_mean(strategy, known)} (the baseline; --baseline names another)"
            raise BadInputError(f"no row has strategy {strategy!r}{told}")
        several = (group for group in self.blocks.values() if len({r.score for r in group}) > 1)
        self.several = next(several, None)
        self.sources = {run.source for group in self.blocks.values() for run in group}

    def source_of(self, run: Run) -> str | None:
        """Return the source whose baseline serves this run; None if one baseline serves all.

        Raises:
            BadInputError: its block has several baselines, and none of its source.
        """
        if self.several is None:
            return None
        if run.source not in self.sources:
            lines = " and ".join(_short(other) for other in self.several[:2])
            raise BadInputError(
                f"{run.place}: {_arm(run)} could be compared with each of several "
                f"{self.strategy!r} rows ({lines}), and none is of its source"
            )
        return run.source

    def notes(self) -> list[str]:
        """Return a note if blocks have several baselines."""
        several = f"several {self.strategy} runs a block: each arm is compared with its source's"
        return [several] if self.several else []


def _block(run: Run) -> Block:
    return run.architecture, run.target, run.labels, run.seed


def _result(
    run: Run, baselines: _Baselines, columns: TableColumns, scale: float, with_source: bool
) -> Result:
    is_baseline = run.strategy == baselines.strategy
    source = run.source if with_source or is_baseline else UNNAMED
    uncompared = source is None and run.strategy in (*CLASSICAL.values(), CONSTANT)
    own = baselines.source_of(run) if with_source and not uncompared else None
    reference = _id(own, baselines.strategy, *_block(run))
    identity = reference if is_baseline else _id(source, run.strategy, *_block(run))
    placebo = any(fnmatchcase(source or "", pattern) for pattern in columns.placebos)
    return Result(
        id=identity,
        names=shared_names(
            run.strategy, run.target, None if is_baseline else source, run.architecture
        ),
        parts=shared_parts(
            _id("strategy", run.strategy),
            _id("target", run.target),
            _id("source", own if is_baseline else source, run.architecture),
        ),
        labels=run.labels,
        seed=run.seed,
        score=None if run.score is None else scale * run.score,
        metric=shared_metric(columns.metric, not columns.lower_is_better),
        baseline=None
        if is_baseline or uncompared
        else Reference(name=baselines.strategy, id=reference),
        placebo=placebo and not is_baseline,
    )


@lru_cache(maxsize=100_000)
def _id(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _like(frame: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the rows as a data frame of the same library as `frame`."""
    import narwhals.stable.v1 as nw

    columns = {name: [row[name] for row in rows] for name in FIELDS}
    if any(isinstance(value, str) for value in columns["labels"]):
        columns["labels"] = [str(value) for value in columns["labels"]]  # one type per column
    backend = nw.get_native_namespace(as_narwhals(frame))
    return nw.to_native(nw.from_dict(columns, backend=backend))
