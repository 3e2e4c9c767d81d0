"""General statements as a table: one line for each arm with several targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from transfergrid.evidence.general import General
from transfergrid.evidence.statistics.targets import FEWEST, RANKS_NEED, ROUGH
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO
from transfergrid.report.tables.columns import (
    HTML,
    Align,
    Column,
    Group,
    Medium,
    Page,
    Table,
)
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.verdict_views import LEAST, NARROW
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording.verdict_words import sign
from transfergrid.report.wording.words import (
    UNICODE,
    Symbols,
    bracketed,
    ends,
    number,
    plural,
    some,
)

EMPTY = (
    "A general statement takes two targets of the same arm, and one on new targets takes "
    f"{FEWEST}: here no arm has two."
)
LEGEND = (
    "The unit is a target; gains on it, with several label budgets, are averaged first. gain: "
    "{scopes}, in points, with its uncorrected 95 % interval. {down} and {up}: hurts, helps on at "
    "least so many of these targets, at the level of one row. Verdicts ({kinds}) are corrected "
    "over the rows of a table."
)
OF_NEW = (
    f"with {FEWEST} targets or more the mean over targets like these (random effects, Paule-Mandel "
    "and Hartung-Knapp)"
)
OF_THESE = "the mean of these targets, which says nothing about others"
FEWER = "with fewer "
NEXT = (
    "next hurt: the chance that a further target, drawn as these were, loses anything; "
    f"it hangs on tau, the spread of true gains over targets; rough (~) below {ROUGH} of them."
)


def general(found: Sequence[General]) -> Sheet:
    """Return a sheet with a line for each arm, one table for each family."""

    def page(medium: Medium) -> Page:
        return Page(
            tables(found, medium),
            below=[legend(found, medium.symbols)],
            empty=EMPTY,
            names_above=True,
        )

    return Sheet(page, lambda: [as_row(one) for one in found])


def tables(found: Sequence[General], medium: Medium) -> list[Table[General]]:
    """Return a table for each family: the arms over one baseline that were corrected together."""
    families: dict[tuple[str, str, bool], list[General]] = {}
    for one in found:
        families.setdefault((one.kind, one.baseline, one.is_of_any_source), []).append(one)
    return [
        Table(_columns(own, medium.symbols), [Group(own)], _title(own, medium))
        for own in families.values()
    ]


def _title(family: Sequence[General], medium: Medium) -> str:
    first = family[0]
    apart = {PLACEBO: "placebos", CONTROL: "arms without a source"}.get(first.kind, "")
    whose = "whatever the source" if first.is_of_any_source else ""
    size = f"family of {first.family_size}, Holm" if first.family_size > 1 else ""
    return medium.joined(*filter(None, (f"over {first.baseline}", apart, whose, size)))


def as_row(one: General) -> dict[str, Any]:
    """Return a line as plain values."""
    low, high = one.mean.interval()
    spread, new = one.spread, one.new
    return {
        "source": one.source,
        "architecture": one.architecture,
        "strategy": one.strategy,
        "kind": one.kind,
        "baseline": one.baseline,
        "targets": [target.target for target in one.on],
        "gains": [target.estimate.mean for target in one.on],
        "errors": [target.estimate.se for target in one.on],
        "left_out": list(one.unknown),
        "scope": one.mean.scope,
        "gain": one.mean.mean,
        "low": low,
        "high": high,
        "p": one.p,
        "p_corrected": one.p_corrected,
        "family_size": one.family_size,
        "verdict": one.verdict.value,
        "why": one.why,
        "margin": one.margin,
        "level": one.level,
        "hurts_on_at_least": one.hurts,
        "helps_on_at_least": one.helps,
        "hurt": list(one.hurt),
        "helped": list(one.helped),
        "tau": spread and spread.tau,
        "tau_low": spread and spread.low,
        "tau_high": spread and spread.high,
        "i2": spread and spread.i2,
        "p_heterogeneity": spread and spread.p,
        "next_low": new and new.low,
        "next_high": new and new.high,
        "next_harmed": new and new.harm,
        "next_harmed_past_margin": new and new.harm_past_margin,
        "p_wilcoxon": one.ranks and one.ranks[0],
        "p_sign": one.ranks and one.ranks[1],
    }


def _columns(family: Sequence[General], symbols: Symbols) -> list[Column[General]]:
    """Return the columns of a family: sources only if some differ, new targets only if judged."""
    sources = {source(one) for one in family}
    told = [Column[General]("source", source, least=LEAST, key=True)] if len(sources) > 1 else []
    return [
        Column("strategy", lambda one: one.strategy, least=LEAST, key=True),
        *told,
        Column("targets", lambda one: str(len(one.on)), Align.RIGHT),
        Column("gain", gain, Align.NUMBER),
        _counts(Kind.NEGATIVE, "hurts on", lambda one: one.hurts, symbols),
        _counts(Kind.POSITIVE, "helps on", lambda one: one.helps, symbols),
        *(_of_new(symbols) if any(one.is_general for one in family) else ()),
        Column("verdict", lambda one: outcome(one, symbols), formats=NARROW),
        Column("verdict", lambda one: said.called(one.verdict), formats=(HTML,)),
    ]


def _of_new(symbols: Symbols) -> list[Column[General]]:
    """Return the columns on a further target."""

    def chance(one: General) -> str:
        if one.new is None:
            return symbols.nothing
        return f"{'~' if len(one.on) < ROUGH else ''}{100 * one.new.harm:.0f} %"

    def tau(one: General) -> str:
        if one.spread is None:
            return symbols.nothing
        span = (one.spread.low, one.spread.high)
        return f"{number(one.spread.tau, '%')} {bracketed(span, lambda end: number(end, '%'))}"

    return [
        Column("next hurt", chance, Align.RIGHT),
        Column("tau", tau, Align.NUMBER),
    ]


def _counts(
    kind: Kind, head: str, of: Callable[[General], int], symbols: Symbols
) -> Column[General]:
    """Return the column with the least number of targets on which arms hurt, or help."""

    def text(one: General) -> str:
        return f"{of(one)}+" if of(one) else symbols.nothing

    return Column(sign(kind, symbols), text, Align.RIGHT, heads={HTML: head})


def source(one: General) -> str:
    """Return the source's name, or the architecture in brackets where there is none."""
    return one.source or (f"({one.architecture})" if one.architecture else "")


def gain(one: General) -> str:
    """Return the mean gain with its interval as text."""
    shown = ends(*one.mean.interval(), "%", one.mean.se)
    told = number(one.mean.mean, "%", signed=True)
    return f"{told} {bracketed(shown, lambda end: number(end, '%', signed=True))}".rstrip()


def outcome(one: General, symbols: Symbols) -> str:
    """Return mark and word of the verdict."""
    return f"{sign(one.verdict, symbols)} {one.verdict.value}"


def legend(found: Sequence[General], symbols: Symbols = UNICODE) -> str:
    """Return the legend of general statements, with what was left out."""
    if not found:
        return ""
    kinds = ", ".join(f"{sign(kind, symbols)} {kind.value}" for kind in Kind)
    down, up = (sign(kind, symbols) for kind in (Kind.NEGATIVE, Kind.POSITIVE))
    new, these = (any(one.is_general is about for one in found) for about in (True, False))
    scopes = "; ".join([OF_NEW] * new + [FEWER * new + OF_THESE] * these)
    told = [
        LEGEND.format(kinds=kinds, scopes=scopes, up=up, down=down),
        *([NEXT] if new else []),
        *notes(found),
    ]
    return " ".join(told)


def notes(found: Sequence[General]) -> list[str]:
    """Return what a reader must know of single rows, one sentence each."""
    told = []
    unknown = sorted({target for one in found for target in one.unknown})
    if unknown:
        told.append(f"Without an error, and so left out: {some(unknown)}.")
    skewed = [named(one) for one in found if one.why]
    if skewed:
        told.append(f"One target stands apart, so that a t test would mislead: {some(skewed)}.")
    if any(one.is_general and one.ranks is None for one in found):
        told.append(f"A rank test over targets needs {RANKS_NEED} of them.")
    return told


def named(one: General) -> str:
    """Return an arm's name."""
    return " ".join(filter(None, (one.source, one.strategy)))


def counted(found: Sequence[General]) -> list[str]:
    """Return a sentence that counts the verdicts, for new targets and for these alone."""
    lines = []
    for about, where in ((True, "over new targets"), (False, "on their targets alone")):
        kinds = Counter(one.verdict for one in found if one.is_general is about)
        if kinds:
            told = ", ".join(f"{kinds[kind]} {said.SAID[kind]}" for kind in Kind if kinds[kind])
            lines.append(f"Of {plural(sum(kinds.values()), 'arm')} judged {where}: {told}.")
    return lines
