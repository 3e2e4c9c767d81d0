"""The comparison of two looks, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from transfergrid.evidence.comparing.changes import Arm, Comparison, Pair, score_of, seeds
from transfergrid.evidence.comparing.differing import Difference
from transfergrid.evidence.comparing.opened import Side
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.verdicts.verdict import COLUMNS, Verdict
from transfergrid.records.points import unit
from transfergrid.report.tables.columns import LATEX, MARKDOWN, TERMINAL, Column, Group, Page, Table
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.verdict_table import as_rows
from transfergrid.report.wording import verdict_words, words
from transfergrid.report.wording.words import ASCII, Symbols

MOST = 20
"""The largest number of changed cells, and of arms in one look only, shown to people; programs get
all."""
MOST_REASONS = 6
_NO_REASON = "nothing of its own changed: it was corrected beside other comparisons"
KEYS = (
    *("what", "source", "architecture", "strategy", "target", "labels", "baseline", "seeds"),
    *("changed", "before", "after", "why"),
)


@dataclass(frozen=True)
class _Change:
    """The change of one comparison, one cell, or the cells of an arm, in words."""

    subject: str
    before: str = ""
    after: str = ""
    why: tuple[str, ...] = ()
    beside: bool = False
    """Whether before and after fit on the subject's line in a terminal."""


def sheet(found: Comparison, before: Side, after: Side) -> Sheet:
    """Return the comparison of two looks as a sheet."""
    return Sheet(
        lambda medium: _page(found, before, after, medium.symbols),
        lambda: list(_rows(found)),
        lambda: _plain(found, before, after),
        KEYS,
    )


def _page(found: Comparison, before: Side, after: Side, symbols: Symbols) -> Page:
    arrow = "->" if symbols is ASCII else "→"
    columns = _columns(arrow)
    scores = [_changed_score(pair, arrow) for pair in found.scores[:MOST]]
    tables = [
        (
            f"verdicts: {_verdict_counts(found.pairs)}",
            [_changed_verdict(pair, symbols, arrow) for pair in found.pairs if pair.is_changed],
        ),
        (_score_counts(found), [*_likewise(scores), *_more(len(found.scores))]),
    ]
    for name, arms in (("before", found.only_before), ("after", found.only_after)):
        if arms:
            told = [*(_only(arm, arrow) for arm in arms[:MOST]), *_more(len(arms))]
            cells = words.plural(sum(len(arm.seeds) for arm in arms), "cell")
            tables.append((f"only {name}: {cells}", told))
    return Page(
        [Table(columns, [Group(told)], title=title) for title, told in tables],
        above=[f"{name}: {_size(side)}" for name, side in (("before", before), ("after", after))],
        headed=False,
    )


def _columns(arrow: str) -> list[Column[_Change]]:
    """Return one column of lines for terminals, and separate columns for markup."""

    def told(change: _Change) -> str:
        moved = f"{change.before} {arrow} {change.after}"
        first = f"{change.subject}: {moved}" if change.beside else change.subject
        below = [] if change.beside or not change.before else [f"    {moved}"]
        space = " " * (6 if below else 4)
        return "\n".join([f"  {first}", *below, *(f"{space}{reason}" for reason in change.why)])

    markup = (MARKDOWN, LATEX)
    return [
        Column("", told, wraps=True, formats=(TERMINAL,)),
        Column("what", lambda change: change.subject, formats=markup, least=1),
        Column("before", lambda change: change.before, formats=markup),
        Column("after", lambda change: change.after, formats=markup),
        Column("why", lambda change: "; ".join(change.why), formats=markup, least=1),
    ]


def _size(side: Side) -> str:
    cells = "" if side.results is None else f"{len(side.results):,} cells, "
    return f"{side.name}: {cells}{words.plural(len(side.verdicts), 'verdict')}"


def _verdict_counts(pairs: Sequence[Pair[Verdict]]) -> str:
    changed = sum(pair.is_changed for pair in pairs)
    both = sum(pair.before is not None and pair.after is not None for pair in pairs)
    counts = (
        (both - changed, "the same"),
        (changed, "changed"),
        (sum(pair.after is None for pair in pairs), "only before"),
        (sum(pair.before is None for pair in pairs), "only after"),
    )
    return _listed(counts)


def _score_counts(found: Comparison) -> str:
    if found.same_scores is None:
        return "scores: not compared, for saved verdicts hold none"
    counts = ((found.same_scores, "the same"), (len(found.scores), "changed"))
    return f"scores of cells that are in both: {_listed(counts)}"


def _listed(counts: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{count:,} {what}" for count, what in counts if count) or "none"


def _changed_verdict(pair: Pair[Verdict], symbols: Symbols, arrow: str) -> _Change:
    before, after = pair.before, pair.after
    assert before is not None
    assert after is not None
    why = _reasons(pair.why, arrow, _NO_REASON)
    return _Change(
        _arm_of(after, symbols), _outcome(before, symbols), _outcome(after, symbols), why
    )


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


def _reasons(why: Sequence[Difference], arrow: str, otherwise: str = "") -> tuple[str, ...]:
    told = [f"{one.what}: {one.before} {arrow} {one.after}" for one in why[:MOST_REASONS]]
    if len(why) > MOST_REASONS:
        told.append(f"and {len(why) - MOST_REASONS} more (--format json)")
    return tuple(told) or ((otherwise,) if otherwise else ())


def _changed_score(pair: Pair[Result], arrow: str) -> _Change:
    cell = pair.after
    assert cell is not None
    before, after = (
        "failed" if score is None else words.number(score, unit(cell.metric))
        for score in (score_of(pair.before), score_of(cell))
    )
    why = _reasons(pair.why, arrow, "for no reason that the records know")
    subject = f"{cell.id[:8]} {words.cell(cell)}"
    return _Change(subject, before, after, why, beside=True)


def _likewise(changes: Sequence[_Change]) -> Iterator[_Change]:
    """Yield the changes, with "likewise" for reasons equal to those of the preceding one."""
    last: tuple[str, ...] = ()
    for change in changes:
        yield replace(change, why=("likewise",)) if change.why == last else change
        last = change.why


def _more(count: int) -> list[_Change]:
    return [_Change(f"and {count - MOST:,} more (--format json)")] if count > MOST else []


def _only(arm: Arm, arrow: str) -> _Change:
    which = f"seed{'' if len(arm.seeds) == 1 else 's'} {seeds(arm.seeds)}"
    return _Change(f"{words.arm(arm.result)}: {which}", why=_reasons(arm.why, arrow))


def _rows(found: Comparison) -> Iterator[dict[str, Any]]:
    """Yield a row for each comparison, changed cell, and arm that only one look has."""
    for pair in found.pairs:
        told, sides = _plain_pair(pair), (pair.before, pair.after)
        kinds = (None if verdict is None else verdict.verdict.value for verdict in sides)
        yield _row("verdict", told, zip(("before", "after"), kinds, strict=True))
    for score in _plain_scores(found):
        yield _row("score", score | {"seeds": [score["seed"]], "changed": True})
    for what, arms in (("only before", found.only_before), ("only after", found.only_after)):
        for arm in arms:
            yield _row(what, _plain_arm(arm))


def _row(
    what: str, told: Mapping[str, Any], more: Iterable[tuple[str, Any]] = ()
) -> dict[str, Any]:
    known = {**told, **dict(more), "what": what}
    return {key: known.get(key) for key in KEYS}


def _plain(found: Comparison, before: Side, after: Side) -> dict[str, Any]:
    """Return the comparison, ready for JSON."""
    kinds = Counter(pair.is_changed for pair in found.pairs)
    return {
        "before": before.name,
        "after": after.name,
        "verdicts_changed": kinds[True],
        "verdicts": [_plain_pair(pair) for pair in found.pairs],
        "scores_same": found.same_scores,
        "scores_changed": _plain_scores(found),
        "only_before": [_plain_arm(arm) for arm in found.only_before],
        "only_after": [_plain_arm(arm) for arm in found.only_after],
    }


def _plain_scores(found: Comparison) -> list[dict[str, Any]]:
    return [
        {
            **_plain_cell(one.after),
            "seed": one.after.seed,
            "before": score_of(one.before),
            "after": score_of(one.after),
            "why": _plain_why(one.why),
        }
        for one in found.scores
        if one.after
    ]


def _plain_pair(pair: Pair[Verdict]) -> dict[str, Any]:
    sides = [_verdict_columns(verdict) for verdict in (pair.before, pair.after)]
    what = sides[1] or sides[0] or {}
    return {
        **{key: what[key] for key in COLUMNS[:6]},
        "changed": pair.is_changed,
        "before": sides[0],
        "after": sides[1],
        "why": _plain_why(pair.why),
    }


def _verdict_columns(verdict: Verdict | None) -> dict[str, Any] | None:
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
