"""The comparison of two looks, for a person and for programs."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from transfergrid.evidence.comparing.changes import Arm, Comparison, Pair, score_of, seeds
from transfergrid.evidence.comparing.differing import Difference
from transfergrid.evidence.comparing.opened import Side
from transfergrid.evidence.results import Result
from transfergrid.evidence.verdicts import COLUMNS, Verdict
from transfergrid.records.errors import check_known
from transfergrid.records.points import unit
from transfergrid.report import verdict_words, words
from transfergrid.report.verdict_table import as_rows
from transfergrid.report.words import ASCII, UNICODE, Symbols

FORMATS = ("table", "json")
MOST = 20
"""Changed cells, and arms in one look only, that the table names; JSON holds all."""
MOST_REASONS = 6


def render(
    found: Comparison,
    before: Side,
    after: Side,
    format: str = "table",
    *,
    width: int = 80,
    ascii_only: bool = False,
) -> str:
    """Return the comparison as text: a table for people, or JSON.

    Raises:
        BadInputError: there is no such format.
    """
    check_known("format", format, FORMATS)
    if format == "json":
        return json.dumps(_plain(found, before, after), indent=1, ensure_ascii=False) + "\n"
    symbols = ASCII if ascii_only else UNICODE
    lines = [
        *(f"{name}: {_size(side)}" for name, side in (("before", before), ("after", after))),
        "",
        *_verdict_lines(found.pairs, symbols),
        "",
        *_score_lines(found, symbols),
        *_only_lines(found, symbols),
    ]
    return "".join(line + "\n" for line in _wrapped(lines, width))


def _wrapped(lines: Iterable[str], width: int) -> Iterable[str]:
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        wrapped = textwrap.wrap(line, width, subsequent_indent=f"{indent}    ")
        yield from wrapped or [""]


def _size(side: Side) -> str:
    cells = "" if side.results is None else f"{len(side.results):,} cells, "
    return f"{side.name}: {cells}{_count(len(side.verdicts), 'verdict')}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _verdict_lines(pairs: Sequence[Pair[Verdict]], symbols: Symbols) -> list[str]:
    changed = [pair for pair in pairs if pair.is_changed]
    both = sum(pair.before is not None and pair.after is not None for pair in pairs)
    counts = (
        (both - len(changed), "the same"),
        (len(changed), "changed"),
        (sum(pair.after is None for pair in pairs), "only before"),
        (sum(pair.before is None for pair in pairs), "only after"),
    )
    lines = [f"verdicts: {_listed(counts)}"]
    for pair in changed:
        lines += _changed_verdict(pair, symbols)
    return lines


def _listed(counts: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{count:,} {what}" for count, what in counts if count) or "none"


def _changed_verdict(pair: Pair[Verdict], symbols: Symbols) -> list[str]:
    if pair.before is None or pair.after is None:
        return []
    arrow = _arrow(symbols)
    return [
        f"  {_arm_of(pair.after, symbols)}",
        f"    {_outcome(pair.before, symbols)} {arrow} {_outcome(pair.after, symbols)}",
        *(f"      {text}" for text in _reasons(pair.why, symbols, _NO_REASON)),
    ]


_NO_REASON = "nothing of its own changed: it was corrected beside other comparisons"


def _arm_of(verdict: Verdict, symbols: Symbols) -> str:
    told = (
        f"{verdict_words.source(verdict, symbols)} {verdict.strategy}",
        verdict.target,
        words.labels_of([verdict]),
        f"over {verdict.baseline}",
    )
    return f" {symbols.dot} ".join(told)


def _outcome(verdict: Verdict, symbols: Symbols) -> str:
    gain, interval = verdict_words.gain(verdict, symbols), verdict_words.interval(verdict, symbols)
    return f"{verdict_words.outcome(verdict, symbols)} {gain} {interval}".rstrip()


def _arrow(symbols: Symbols) -> str:
    return "->" if symbols is ASCII else "→"


def _reasons(why: Sequence[Difference], symbols: Symbols, otherwise: str = "") -> list[str]:
    lines = [_reason(one, symbols) for one in why[:MOST_REASONS]]
    if len(why) > MOST_REASONS:
        lines.append(f"and {len(why) - MOST_REASONS} more (--format json)")
    return lines or ([otherwise] if otherwise else [])


def _reason(one: Difference, symbols: Symbols) -> str:
    return f"{one.what}: {one.before} {_arrow(symbols)} {one.after}"


def _score_lines(found: Comparison, symbols: Symbols) -> list[str]:
    if found.same_scores is None:
        return ["scores: not compared, for saved verdicts hold none"]
    counts = ((found.same_scores, "the same"), (len(found.scores), "changed"))
    lines = [f"scores of cells that are in both: {_listed(counts)}"]
    told: tuple[str, ...] = ()
    for one in found.scores[:MOST]:
        lines += [f"  {text}" for text in _changed_score(one, symbols)]
        reasons = tuple(_reasons(one.why, symbols, "for no reason that the records know"))
        lines += [f"    {text}" for text in reasons] if reasons != told else ["    likewise"]
        told = reasons
    return [*lines, *_more(len(found.scores))]


def _more(count: int) -> list[str]:
    return [f"  and {count - MOST:,} more (--format json)"] if count > MOST else []


def _changed_score(pair: Pair[Result], symbols: Symbols) -> list[str]:
    if pair.after is None:
        return []
    shown = [
        "failed" if score is None else words.number(score, unit(pair.after.metric))
        for score in (score_of(pair.before), score_of(pair.after))
    ]
    cell = f"{_cell(pair.after)}, seed={pair.after.seed}"
    return [f"{pair.after.id[:8]} {cell}: {shown[0]} {_arrow(symbols)} {shown[1]}"]


def _cell(cell: Result) -> str:
    source = cell.names.source or cell.names.architecture
    arm = f"{source} {cell.names.strategy}" if source else cell.names.strategy
    return f"{arm} on {cell.names.target}, labels={cell.labels}"


def _only_lines(found: Comparison, symbols: Symbols) -> list[str]:
    lines = []
    for name, arms in (("before", found.only_before), ("after", found.only_after)):
        if arms:
            lines += ["", f"only {name}: {_count(sum(len(arm.seeds) for arm in arms), 'cell')}"]
            for arm in arms[:MOST]:
                which = f"seed{'' if len(arm.seeds) == 1 else 's'} {seeds(arm.seeds)}"
                lines.append(f"  {_cell(arm.result)}: {which}")
                lines += [f"    {text}" for text in _reasons(arm.why, symbols)]
            lines += _more(len(arms))
    return lines


def _plain(found: Comparison, before: Side, after: Side) -> dict[str, Any]:
    """Return the comparison, ready for JSON."""
    kinds = Counter(pair.is_changed for pair in found.pairs)
    return {
        "before": before.name,
        "after": after.name,
        "verdicts_changed": kinds[True],
        "verdicts": [_plain_pair(pair) for pair in found.pairs],
        "scores_same": found.same_scores,
        "scores_changed": [
            {
                **_plain_cell(one.after),
                "seed": one.after.seed,
                "before": score_of(one.before),
                "after": score_of(one.after),
                "why": _plain_why(one.why),
            }
            for one in found.scores
            if one.after
        ],
        "only_before": [_plain_arm(arm) for arm in found.only_before],
        "only_after": [_plain_arm(arm) for arm in found.only_after],
    }


def _plain_pair(pair: Pair[Verdict]) -> dict[str, Any]:
    sides = [_columns(verdict) for verdict in (pair.before, pair.after)]
    what = sides[1] or sides[0] or {}
    return {
        **{key: what[key] for key in COLUMNS[:6]},
        "changed": pair.is_changed,
        "before": sides[0],
        "after": sides[1],
        "why": _plain_why(pair.why),
    }


def _columns(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    row = as_rows([verdict])[0]
    return {key: row[key] for key in COLUMNS}


def _plain_cell(cell: Result) -> dict[str, Any]:
    names = ("source", "architecture", "strategy", "target")
    told = {name: getattr(cell.names, name) for name in names}
    return {"id": cell.id, **told, "labels": cell.labels}


def _plain_arm(arm: Arm) -> dict[str, Any]:
    cell = {key: value for key, value in _plain_cell(arm.result).items() if key != "id"}
    return {**cell, "seeds": list(arm.seeds), "why": _plain_why(arm.why)}


def _plain_why(why: Iterable[Difference]) -> list[dict[str, str]]:
    return [asdict(one) for one in why]
