"""From a ledger to the data of the report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from transfergrid.evidence.chosen.scorecard import forecasts_of, is_foretold, scorecard
from transfergrid.evidence.curves.assembly import label_curves, step_means
from transfergrid.evidence.declared.declarations import grids_of
from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.general import generally
from transfergrid.evidence.leaderboard import leaderboards
from transfergrid.evidence.measured.comparisons import PLAIN, strategies_with_source
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.measured.selecting import Where
from transfergrid.evidence.several.affinity import affinity
from transfergrid.evidence.several.each_task import ALONE, each_task
from transfergrid.evidence.several.forgetting import forgetting
from transfergrid.evidence.several.source_shares import source_shares
from transfergrid.evidence.verdicts.robustness import flips
from transfergrid.evidence.verdicts.verdict import PLACEBO, Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.provenance import versions
from transfergrid.records.record import Record
from transfergrid.report.html import (
    best_of,
    boards,
    forecasts,
    general,
    paths,
    sections,
    tasks,
)
from transfergrid.report.html.data import Points, ReportData
from transfergrid.report.html.rows import parts_of
from transfergrid.report.html.sections import Beside
from transfergrid.report.views.sides import effects_of, parts_in
from transfergrid.report.wording.declared import declared_lines
from transfergrid.report.wording.words import Told, told, told_anew


def report_data(bench: Bench, *, title: str = "", where: str = "") -> ReportData:
    """Return the data of a ledger's report.

    Args:
        bench: the bench of the ledger, or of its selected cells.
        title: the title that replaces the question.
        where: selects the arms to show; they are corrected together with all others.
    """
    asked = Where.parse(where)
    bench = bench.of_runs(asked) if bench.results else bench
    results = bench.results
    verdicts = bench.verdicts(where=asked.of_arms())
    judged = _over_others(bench)
    over = {name: _of_arms(verdicts, found) for name, found in judged.items()}
    told_of = chain(verdicts, *over.values())
    shown = {cell for v in told_of for cell in (*v.cells, *v.baseline_cells)}
    cells = {cell.id: cell for cell in results if cell.id in shown}
    beside = _beside(bench, verdicts, judged)
    beside.add(boards.leaders(leaderboards(verdicts, results, bench.outcomes)))
    beside.add(boards.over_plain(over.get(PLAIN, ())))
    beside.add(general.over_targets(generally(bench, verdicts)))
    return ReportData(
        verdicts=tuple(verdicts),
        over_baselines=over,
        rules=bench.declaration.rules,
        title=title,
        lower_is_better=frozenset(c.metric.name for c in results if not c.metric.higher_is_better),
        cells=cells,
        configs=configs(bench.ledger, cells.values()),
        sections=tuple(beside.sections),
        steps=tuple(beside.steps),
        scores=tuple(beside.scores),
        further=(*(share.less for share in beside.shares), *beside.tasks),
        pairs=tuple(beside.pairs),
        remarks={row: tuple(lines) for row, lines in beside.remarks.items()},
        failed=tuple(
            told([record for record in bench.failures if asked.keeps(record)])
            + told_anew([record for record in bench.failed_anew if asked.keeps(record)])
        ),
        skipped=tuple(left_out(bench.ledger)),
        declaration=_without_failures(declared_lines(bench, bench.rules, verdicts, where)),
        made=_made(bench),
    )  # fmt: skip


def _without_failures(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the lines without the count of failed cells, which has its own section."""
    count = re.compile(r"[\d,]+ cells? failed( when run anew.*)?:")
    return tuple(line for line in lines if not (line.startswith(" ") or count.fullmatch(line)))


def _beside(bench: Bench, verdicts: Sequence[Verdict], over: Mapping[str, list[Verdict]]) -> Beside:
    """Return the side views, given the verdicts on all arms over exploratory baselines, by name."""
    beside = Beside()
    beside.add(sections.measured_against(bench.results, verdicts))
    records = list(bench.records.values())
    beside.add(best_of.tuning(records))
    beside.add(paths.along(records))
    curves, _ = label_curves(records, bench.outcomes)
    shown = {cell for verdict in verdicts for cell in verdict.cells}
    beside.add(sections.crossing([c for c in curves if not shown.isdisjoint(c.cells)]))
    beside.steps = _steps(bench, verdicts, records)
    _foretell(bench, verdicts, beside)
    _inside(bench, verdicts, over, beside)
    for row, verdict in enumerate(verdicts):
        if verdict.remarks.pair:
            beside.remark(row, f"Pair of source and target: {verdict.remarks.pair}")
    found = forecasts.causes(verdicts, records, bench.outcomes)
    beside.add(forecasts.explained(verdicts, found))
    for one in found:
        if one.cause:
            told = f"{one.name}, in {one.seeds} of {one.of} seeds: {one.evidence}"
            beside.remark(one.row, f"Likely cause: {told}")
    return beside


def _inside(
    bench: Bench,
    verdicts: Sequence[Verdict],
    over: Mapping[str, list[Verdict]],
    beside: Beside,
) -> None:
    """Add the sections on flips, classes, sources, tasks and side effects."""
    levels = bench.levels()
    found = flips(bench.results, verdicts, bench.outcomes, bench.rules, levels, known=over)
    beside.add(sections.flipping(found))
    arms = []
    for row, verdict in enumerate(verdicts):
        with suppress(BadInputError):  # predictions were not kept
            inside = parts_in(bench, verdict, "class", bench.rules)
            arms.append((verdict, inside))
            beside.remark(row, sections.extremes(inside))
    beside.add(sections.harmed(arms))
    beside.shares = source_shares(bench, verdicts)
    beside.add(sections.several(beside.shares))
    _each_task(bench, verdicts, beside)
    beside.add(sections.came_with(effects_of(bench, [v for v in verdicts if v.n])))


def _each_task(bench: Bench, verdicts: Sequence[Verdict], beside: Beside) -> None:
    """Add the section on the gain of each jointly learned task, and on what chains forgot."""
    found = each_task(bench, verdicts)
    beside.tasks = [verdict for verdict in found if verdict.reference == ALONE]
    beside.pairs = affinity(bench, found)
    beside.add(tasks.each(found, beside.pairs, forgetting(bench, verdicts)))


def _steps(
    bench: Bench, verdicts: Sequence[Verdict], records: Sequence[Record]
) -> list[tuple[int, Points, Points, Points]]:
    rows = {cell: row for row, verdict in enumerate(verdicts) for cell in verdict.cells}
    return [
        (rows[one.cell], one.steps, one.arm, one.baseline)
        for one in step_means(records, bench.ledger.curves)
        if one.cell in rows
    ]


def _foretell(bench: Bench, verdicts: Sequence[Verdict], beside: Beside) -> None:
    """Add the section on transferability scores, if any are stored."""
    if not (bench.ledger.root / "scores").is_dir():
        return
    found = forecasts_of(bench.ledger.root, verdicts)
    places = {forecasts.arm_of(one): row for row, one in enumerate(verdicts) if is_foretold(one)}
    judged = [f for f in found if verdicts[places[forecasts.arm_of(f)]].kind != PLACEBO]
    beside.add(forecasts.scored(scorecard(judged), scorecard(found)))
    beside.scores = forecasts.score_points(found, places)


def _over_others(bench: Bench) -> dict[str, list[Verdict]]:
    """Return the verdicts on all arms over each exploratory baseline, without forecasts."""
    names = {other.name for cell in bench.results for other in cell.exploratory}
    adapted = strategies_with_source(bench.results)
    names |= {PLAIN} if PLAIN in adapted and len(adapted) > 1 else set()
    return {name: bench.verdicts(name, ahead=False) for name in sorted(names)}


def _of_arms(shown: Sequence[Verdict], found: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Return the verdicts on the arms that are shown."""
    arms = {cell for verdict in shown for cell in verdict.cells}
    return tuple(v for v in found if not arms.isdisjoint(v.cells))


def left_out(ledger: Ledger) -> list[Told]:
    """Return the combinations that the newest grid left out, with the reasons."""
    newest = max(grids_of(ledger), key=lambda grid: str(grid.get("asked")), default=None)
    left_out = newest.get("left_out", []) if newest else []
    return [(one["cell"], one["reason"]) for one in left_out]


def _made(bench: Bench) -> tuple[str, ...]:
    last = max(bench.results, key=lambda cell: cell.finished or "", default=None)
    program = versions().get("transfergrid", "of an unknown version")
    lines = [f"Made from {len(bench.results)} cells by transfergrid {program}."]
    record = bench.ledger.find(last.id) if last is not None else None
    if last is not None and record is not None:
        libraries = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        lines.append(
            f"The newest cell, {last.id}, ended at {last.finished or 'a time that is not known'}: "
            f"commit {record.commit or 'not known'}; {libraries}; {record.machine.device}."
        )
    return tuple(lines)


def configs(ledger: Ledger, results: Iterable[Result]) -> dict[str, dict[str, Any]]:
    """Return the config of each part of these cells, by its digest."""
    found: dict[str, dict[str, Any]] = {}
    for cell in results:
        missing = {part: d for part, d in parts_of(cell).items() if d not in found}
        if missing:
            record = ledger.find(cell.id)
            config = record.config if record else {}
            found |= {d: flat(config.get(part) or {}, part) for part, d in missing.items()}
    return found


def flat(config: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return a config as dotted keys and plain values, without descriptive keys."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if key == "about":
            continue
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}.{key}")
        else:
            found[f"{prefix}.{key}"] = value
    return found
