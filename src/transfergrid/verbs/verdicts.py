"""The verb `verdicts`: what helped, what hurt, what made no difference, and what is undecided."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import TableLooks
from transfergrid.evidence.foreign import judge_table, read_foreign
from transfergrid.evidence.foreign.columns import (
    BUDGETS,
    HELP,
    PLAIN,
    UNITS,
    TableColumns,
    Wide,
    filled,
    renamed,
    units,
)
from transfergrid.evidence.foreign.files import STANDARD_INPUT
from transfergrid.evidence.measured.selecting import Where
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger, without_garbage_collection
from transfergrid.report.tables.sheet import show
from transfergrid.report.views import verdict_table
from transfergrid.report.views.sides import SIDES, side
from transfergrid.report.wording.declared import declared_lines, shown_where
from transfergrid.verbs.parser import Parser, listed

RULES = ("margin", "alpha", "correction")


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid verdicts [RESULTS | TABLE] [options]`."""
    chosen = _parser().parse_args(arguments)
    is_table = chosen.results == STANDARD_INPUT or Path(chosen.results).is_file()
    with without_garbage_collection():
        return _of_table(chosen) if is_table else _of_ledger(chosen)


def _parser() -> Parser:
    parser = Parser(
        prog="transfergrid verdicts",
        description="Say of each source and strategy whether it helped, hurt or made no "
        "difference, and how sure that is.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    parser.add_ledger("a ledger's folder, a table of results, or -")
    parser.add_over()
    parser.add_format()
    add("--show", default="verdicts", help=f"verdicts, or beside them {', '.join(SIDES)}")
    add("--margin", type=float, help="points; a smaller gain makes no practical difference")
    add("--alpha", type=float, help="the error that a family is allowed")
    add("--correction", help="holm, bh or none")
    table = parser.add_argument_group("of a table")
    add = table.add_argument
    add("--column", action="append", default=[], metavar="COLUMN=NAME", help="may be repeated")
    add("--baseline", default="scratch", help="the strategy that others are compared with")
    add("--metric", default="score", help="what the score is called")
    add("--lower-is-better", action="store_true", help="for losses and errors")
    add("--placebo", action="append", default=[], metavar="SOURCE", help="may be repeated")
    add("--unit", action="append", default=[], metavar="[TARGET=]UNIT", help=", ".join(UNITS))
    add("--wide", metavar="NAME[=COLUMNS]", help="what the headings of columns of scores name")
    add("--block", metavar="COLUMN", help="what an arm shares with its baseline, such as a task")
    add("--fill", action="append", default=[], metavar="COLUMN=VALUE", help="of all rows")
    add("--labels-are", default=BUDGETS[0], help=", ".join(BUDGETS))
    add("--max-seeds", type=int, metavar="N", help="seeds that an arm will have in the end")
    add("--looks", default="", metavar="N,N", help="seeds at earlier looks at the growing table")
    add("--means", action="store_true", help='take "71.2 ± 0.4" for one run')
    return parser


def _of_table(chosen: argparse.Namespace) -> int:
    if chosen.over:
        raise BadInputError(f"{chosen.results} is a table: --baseline says what to compare with")
    if chosen.show != "verdicts":
        raise BadInputError(f"--show {chosen.show} needs a ledger, and {chosen.results} is a table")
    table = read_foreign(chosen.results, _columns(chosen))
    rules, where = Rules(**_typed(chosen)), Where.parse(chosen.where)
    notes = [note[0].upper() + note[1:] for note in table.notes]
    if not chosen.unit:
        notes = [f"{note} (--unit says otherwise)" if " are read" in note else note
                 for note in notes]  # fmt: skip
    runs = where.of_runs().rows(table.results)
    looks = TableLooks(chosen.max_seeds, listed(chosen.looks, int, "--looks"))
    verdicts = judge_table(replace(table, results=runs, notes=()), rules, looks)
    looks.check(verdicts)
    lines = [*notes, *shown_where(chosen.where), *looks.told(verdicts, rules.alpha)]
    shown = where.of_arms().rows(verdicts)
    show(verdict_table.sheet(shown, lines, rules.correction), chosen.format)
    return 0


def _columns(chosen: argparse.Namespace) -> TableColumns:
    names = renamed(chosen.column)
    if chosen.block and "seed" in names:
        raise BadInputError(
            f"--block {chosen.block} and --column seed={names['seed']}: one of them"
        )
    said = units(chosen.unit)
    if PLAIN in said.values() and chosen.margin is None:
        raise BadInputError(
            f"--unit {PLAIN} takes --margin: the smallest difference that matters, in that unit"
        )
    return TableColumns(
        **names,
        baseline=chosen.baseline,
        metric=chosen.metric,
        lower_is_better=chosen.lower_is_better,
        placebos=tuple(chosen.placebo),
        units=said,
        wide=Wide.parse(chosen.wide) if chosen.wide else None,
        fill=filled(chosen.fill),
        labels_are=chosen.labels_are,
        block=chosen.block,
        means=chosen.means,
    )


def _of_ledger(chosen: argparse.Namespace) -> int:
    where = Where.parse(chosen.where)
    bench = bench_of(Ledger(chosen.results)).of_runs(where)
    rules = bench.rules_but(**_typed(chosen))
    verdicts = bench.verdicts(chosen.over, rules, where.of_arms())
    if chosen.show != "verdicts":
        show(side(chosen.show, bench, verdicts, rules, chosen.over), chosen.format)
    else:
        lines = declared_lines(bench, rules, verdicts, chosen.where)
        correction = chosen.correction or bench.declaration.correction
        show(verdict_table.sheet(verdicts, lines, correction), chosen.format)
    bench.note_look(verdicts, "verdicts")
    return 0


def _typed(chosen: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name in RULES if (value := getattr(chosen, name)) is not None}
