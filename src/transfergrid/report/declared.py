"""What stands below every table and report of verdicts: the declaration, its hash, the looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transfergrid.evidence.decisions import Rules
from transfergrid.evidence.declarations import SHOWN, newest
from transfergrid.evidence.judged import Bench
from transfergrid.evidence.verdicts import Verdict
from transfergrid.report import words
from transfergrid.report.words import Told

NOTHING = "Declared beforehand: nothing; the defaults decide."
WITH_FOOTER = ("table", "markdown")
"""Formats that have lines below them."""


def declared_lines(bench: Bench, rules: Rules, verdicts: Sequence[Verdict]) -> list[str]:
    """Return what the verdicts were decided by, and what earlier looks cost, a line each."""
    lines = [_declaration(bench, rules), *_looks(bench, rules, verdicts)]
    return [*lines, *_counted("failed", words.told(bench.failures))]


def left_out(skipped: Sequence[Told]) -> list[str]:
    """Return which combinations were left out of a grid, and why, a line each."""
    return _counted("left out", skipped)


def _counted(what: str, cells: Sequence[Told]) -> list[str]:
    if not cells:
        return []
    first = f"{len(cells)} cell{'s' if len(cells) != 1 else ''} {what}:"
    return [first, *words.grouped_reasons(cells)]


def declared_line(grids: Sequence[Mapping[str, Any]]) -> str:
    """Return in a line that a table can bear what was declared, and its hash."""
    declaration = newest(grids)
    if declaration is None:
        return NOTHING
    return f"Declared {declaration.digest[:SHOWN]}: verdicts with transfergrid verdicts."


def _declaration(bench: Bench, rules: Rules) -> str:
    declaration = bench.declaration
    if not bench.declared:
        return NOTHING
    seeds = len(declaration.seeds)
    told = f"Declared {declaration.digest[:SHOWN]}: family of {declaration.family}; "
    told += f"margin {declaration.margin:g}, error {100 * declaration.alpha:g} %, "
    told += f"{declaration.correction}; {seeds} seed{'s' if seeds != 1 else ''}"
    told += f" of at most {declaration.max_seeds}." if declaration.max_seeds else "."
    names = ("margin", "alpha", "correction", "power")
    other = [name for name in names if getattr(rules, name) != getattr(declaration.rules, name)]
    if other:
        told += f" Not judged as declared: {', '.join(other)} typed anew."
    return told + _redeclared(bench)


def _redeclared(bench: Bench) -> str:
    """Say which rules were other ones when somebody looked before."""
    told = []
    for name in ("margin", "alpha", "correction"):
        now = getattr(bench.declaration, name)
        earlier = dict.fromkeys(look.declaration.get(name, now) for look in bench.earlier)
        if other := [str(value) for value in earlier if value != now]:
            told.append(f"{name} was {', '.join(other)}")
    return f" Declared anew after a look: {'; '.join(told)}." if told else ""


def _looks(bench: Bench, rules: Rules, verdicts: Sequence[Verdict]) -> list[str]:
    levels = sorted({v.level for v in verdicts if v.n > 1 and abs(v.level - rules.alpha) > 1e-9})
    if not levels:
        return []
    ends = (levels[0], levels[-1])
    told = " to ".join(dict.fromkeys(f"{100 * level:.2g}" for level in ends))
    before = len(bench.earlier)
    counted = "the first look" if not before else f"{before} look{'s' if before > 1 else ''} before"
    kept = (
        "what is left is kept for further seeds"
        if not bench.declaration.max_seeds
        else (f"the rest is for looks up to {bench.declaration.max_seeds} seeds")
    )
    return [
        f"Judged at {told} % of error a family, of {100 * rules.alpha:g} % in all ({counted}): "
        f"{kept}, so that adding seeds and looking again stays honest."
    ]
