"""The output of the verb `tune`: a row per strategy, YAML lines to copy, and the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from transfergrid.evidence.chosen.defaults import Default
from transfergrid.records.metrics import is_of_numbers
from transfergrid.records.points import unit
from transfergrid.records.record import Metric, Record
from transfergrid.report.tables.columns import Align, Column, Group, Medium, Page, Table
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.wording import words

KEYS = ("strategy", "source", "target", "labels", "seed", "trial")
SCORED = ("metric", "score", "step", "reason", "cell")


@dataclass(frozen=True)
class Searched:
    """The conditions of the search for defaults.

    Attributes:
        training: name of the training.
        kind: kind of the training, for which strategies may have their own defaults; None without
            one.
        metric: the metric of the trials.
        held_out: number of labels per class (in regression, in total) on which trials were scored;
            None if each cell's validation part was used.
    """

    training: str
    kind: str | None
    metric: Metric
    held_out: int | None


def sheet(rows: Sequence[Default], searched: Searched) -> Sheet:
    """Return the chosen defaults as a sheet."""
    plain = [asdict(row) for row in rows]
    keys = [field.name for field in fields(Default)]
    return Sheet(lambda medium: _page(rows, searched, medium), lambda: plain, keys=keys)


def _page(rows: Sequence[Default], searched: Searched, medium: Medium) -> Page:
    columns = [
        Column[Default]("strategy", lambda row: row.strategy, least=12, key=True),
        Column[Default]("setting", lambda row: "\n".join(_settings(row))),
        Column[Default](_scored_by(searched), _score, Align.RIGHT),
        Column[Default]("95 % interval", _interval, Align.RIGHT),
        Column[Default]("ahead", _ahead, Align.RIGHT),
        Column[Default]("cells", lambda row: str(row.cells), Align.RIGHT),
    ]
    trials = sorted({row.trials for row in rows})
    title = medium.joined(
        f"training={searched.training}",
        words.plural(max(row.seeds for row in rows), "seed"),
        f"{' or '.join(map(str, trials))} trials a cell",
        _judged_by(searched),
    )
    return Page([Table(columns, [Group(rows)], title=title)], below=list(_below(rows, searched)))


def _judged_by(searched: Searched) -> str:
    if searched.held_out is None:
        return "by each cell's validation part"
    each = "in all" if is_of_numbers(searched.metric.name) else "a class"
    return f"by {searched.held_out} labels {each} held out"


def _scored_by(searched: Searched) -> str:
    return " ".join(filter(None, (searched.metric.name, unit(searched.metric))))


def _settings(row: Default) -> list[str]:
    return [f"{name} {number(value)}" for name, value in row.setting.items()]


def number(value: float) -> str:
    """Return a setting with two significant digits, which is more than any search can resolve."""
    return f"{float(f'{value:.2g}'):g}"


def _score(row: Default) -> str:
    return f"{row.score:.2f}"


def _interval(row: Default) -> str:
    return "–" if row.low is None or row.high is None else f"{row.low:.1f} to {row.high:.1f}"


def _ahead(row: Default) -> str:
    return "–" if row.ahead is None else f"{row.ahead:+.2f}"


def _below(rows: Sequence[Default], searched: Searched) -> Iterator[str]:
    """Yield the legend, lines of any length, and the YAML lines to copy."""
    yield (
        "Chosen is the best mean over all cells of a strategy, of the settings that all of them "
        "tried; ahead: of the second best, in points. The interval is of this mean for other "
        "seeds, on these targets; the best of many is a little worse than it looks. No test score "
        "was looked at."
    )
    if len({row.trials for row in rows}) > 1:
        yield "Strategies had unequal trials: a search of more finds more."
    for row in rows:
        yield from _remarks(row)
    under = f"under {searched.kind}" if searched.kind else "default"
    yield f"To make them defaults, in each strategy's space ({under}):"
    for row in rows:
        yield f"  {row.strategy}: {to_write(row, searched.kind)}{_before(row)}"
    told = ", ".join(f"{row.strategy}: {{{_values(row)}}}" for row in rows)
    yield f"Or for one grid alone: 'strategy_defaults={{{told}}}'"


def _values(row: Default) -> str:
    return ", ".join(f"{name}: {number(value)}" for name, value in row.setting.items())


def _remarks(row: Default) -> Iterator[str]:
    for name in row.edges:
        low, high = map(number, row.tried[name])
        yield (
            f"{row.strategy}: {name} {number(row.setting[name])} stands at the edge of what was "
            f"tried, {low} to {high}: look beyond."
        )
    if row.alone is not None:
        told = ", ".join(f"{name} {number(value)}" for name, value in row.alone.items())
        yield (
            f"{row.strategy}: one value with {', '.join(row.shares)}, the best of their sum; alone "
            f"it would take {told}."
        )
    if row.failed:
        yield f"{row.strategy}: {words.plural(row.failed, 'trial')} failed, counted as the worst."


def to_write(row: Default, kind: str | None) -> str:
    """Return the part of a strategy's `space` that makes the chosen setting its default."""

    def told(name: str, value: float) -> str:
        at = f"under: {{{kind}: {number(value)}}}" if kind else f"default: {number(value)}"
        return f"{name}: {{{at}}}"

    return ", ".join(told(name, value) for name, value in row.setting.items())


def _before(row: Default) -> str:
    changed = {n: v for n, v in row.now.items() if number(v) != number(row.setting[n])}
    if not changed:
        return "   # as it is"
    return f"   # {', '.join(f'{name} is {number(value)}' for name, value in changed.items())}"


def log(records: Sequence[Record]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the header and the rows of the log: one row per trial, one column per argument."""
    rows = [row for record in records for row in _logged(record)]
    rows.sort(key=lambda row: (*(str(row[key]) for key in KEYS[:4]), row["seed"], row["trial"]))
    names = sorted({name for row in rows for name in row} - {*KEYS, *SCORED})
    return [*KEYS, *names, *SCORED], rows


def _logged(record: Record) -> Iterator[dict[str, Any]]:
    names = record.names
    for number, trial in enumerate(record.tuning.trials if record.tuning else ()):
        yield {
            "strategy": names.strategy,
            "source": names.source or names.architecture,
            "target": names.target,
            "labels": record.labels,
            "seed": record.seed,
            "trial": number,
            **trial.values,
            "metric": record.metric.name,
            "score": trial.score if trial.score is None else round(trial.score, 6),
            "step": trial.step,
            "reason": trial.reason,
            "cell": record.id,
        }
