"""The table of a calibration: rules against planted truths, and in words what that means."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from transfergrid.errors import check_known
from transfergrid.evidence.calibration import COLUMNS, Plan, Rate, rates_of
from transfergrid.evidence.compared_rules import OURS, RULES
from transfergrid.evidence.planted import COLLAPSING, Scenario, chance_of_none

FORMATS = ("table", "markdown", "csv", "json")
NAIVE = "paired t over seeds"
NO_COLLAPSE = "(no collapse seen)"
Value = Callable[[Rate], float | None]


@dataclass(frozen=True)
class _Group:
    """Columns under one heading: a scenario, or a gain."""

    heading: str
    columns: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    """By row."""


def render(rates: Sequence[Rate], plan: Plan, *, format: str = "table", width: int = 80) -> str:
    """Return the rates as text.

    Args:
        rates: as `calibrate` returns them for the plan.
        plan: what was simulated.
        format: "table", "markdown", "csv" or "json"; the last two hold the rates alone.
        width: columns of the terminal.

    Raises:
        BadInputError: there is no such format.
    """
    check_known("format", format, FORMATS)
    if format == "json":
        return json.dumps([rate.as_dict() for rate in rates], indent=1) + "\n"
    if format == "csv":
        return _csv(rates)
    parts = [(title, groups) for title, groups in _sections(rates, plan) if groups]
    if format == "markdown":
        blocks = ["\n".join([f"**{title}**", "", *_markdown(found)]) for title, found in parts]
        return "\n\n".join([*blocks, *said(rates, plan), *planted(plan)]) + "\n"
    blocks = ["\n".join([title, *_blocks(found, width)]) for title, found in parts]
    told = [textwrap.fill(line, width) for line in [*said(rates, plan), *planted(plan)]]
    return "\n\n".join([*blocks, "\n".join(told)]) + "\n"


def _csv(rates: Sequence[Rate]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for rate in rates:
        row = rate.as_dict()
        writer.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
    return out.getvalue()


def _sections(rates: Sequence[Rate], plan: Plan) -> Iterator[tuple[str, list[_Group]]]:
    chosen = [s for s in plan.scenarios if s is not Scenario.COLLAPSE_ONLY]
    arms = f" in a family of {plan.family}" if plan.family > 1 else ""
    none = [_of_rules(rates, plan, s, 0.0, s.replace("_", " "), lambda r: r.false) for s in chosen]
    yield f"Called a gain or a loss{arms} where there is none, % by seeds", none
    first = chosen[0] if chosen else None
    gains = [gain for gain in sorted(set(plan.gains)) if gain] if first else []
    name = first.replace("_", " ") if first else ""
    yield (
        f"True gains of the first arm that are found, % ({name})",
        [_of_rules(rates, plan, first, g, f"{g:+g} points", _found) for g in gains if first],
    )
    yield "The verdict, %", [_of_ours(rates, plan, s) for s in plan.scenarios]


def _found(rate: Rate) -> float | None:
    return rate.found


def _of_rules(
    rates: Sequence[Rate], plan: Plan, scenario: Scenario, gain: float, heading: str, value: Value
) -> _Group:
    values = {
        rule: tuple(percent(value(rate)) for rate in rates_of(rates, rule, scenario, gain))
        for rule in RULES
    }
    seeds = sorted(set(plan.seeds))
    if scenario is Scenario.COLLAPSE and gain == 0:
        shares = chance_of_none(plan.noise.collapse, seeds)
        any_arm = [1 - (1 - share) ** plan.family for share in shares]
        values[NO_COLLAPSE] = tuple(map(percent, any_arm))
    return _Group(heading, tuple(map(str, seeds)), values)


def _of_ours(rates: Sequence[Rate], plan: Plan, scenario: Scenario) -> _Group:
    only = scenario is Scenario.COLLAPSE_ONLY
    margin = plan.rules.margin
    none = rates_of(rates, OURS, scenario, None if only else 0.0)
    values: dict[str, list[float | None]] = {
        "95 % interval covers": [rate.covered for rate in none],
        "undecided": [rate.undecided for rate in none],
        "negative": [rate.negative for rate in none],
        "positive": [rate.positive for rate in none],
        "equivalent": [rate.equivalent for rate in none],
    }
    if not only:
        at = rates_of(rates, OURS, scenario, margin)
        values[f"equivalent at {margin:+g}"] = [rate.equivalent for rate in at]
    heading = f"gain {none[0].gain:+.3g}" if only and none else scenario.replace("_", " ")
    columns = tuple(map(str, sorted(set(plan.seeds))))
    return _Group(heading, columns, {k: tuple(map(percent, v)) for k, v in values.items()})


def percent(share: float | None) -> str:
    """Write a share of 0 to 1 in per cent, with a decimal below ten."""
    if share is None:
        return "–"
    return f"{100 * share:.1f}" if share < 0.0995 else f"{100 * share:.0f}"


def _rows(groups: Sequence[_Group]) -> list[str]:
    return list(dict.fromkeys(row for group in groups for row in group.values))


def _cells(group: _Group, row: str) -> tuple[str, ...]:
    return group.values.get(row) or ("",) * len(group.columns)


def _blocks(groups: Sequence[_Group], width: int) -> list[str]:
    """Lay the groups side by side, as many as the width takes, then below each other."""
    rows = _rows(groups)
    first = max(map(len, rows))
    lines: list[str] = []
    while groups:
        wide = [max(5 * len(g.columns), len(g.heading) + 2) for g in groups]
        fit = max(sum(first + sum(wide[: i + 1]) <= width for i in range(len(wide))), 1)
        now, groups = groups[:fit], groups[fit:]
        lines += [""] if lines else []
        lines.append(_line("", [g.heading for g in now], wide, first))
        lines.append(_line("", [_spread(g.columns) for g in now], wide, first))
        lines += [
            _line(row, [_spread(_cells(g, row)) for g in now], wide, first)
            for row in rows
            if any(row in g.values for g in now)
        ]
    return lines


def _spread(cells: Sequence[str]) -> str:
    return "".join(f"{cell:>5}" for cell in cells)


def _line(row: str, cells: Sequence[str], wide: Sequence[int], first: int) -> str:
    texts = [f"{cell:>{space}}" for cell, space in zip(cells, wide, strict=False)]
    return "".join([f"{row:<{first}}", *texts]).rstrip()


def _markdown(groups: Sequence[_Group]) -> list[str]:
    names = [f"{group.heading}, {n}" for group in groups for n in group.columns]
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for row in _rows(groups):
        cells = [cell for group in groups for cell in _cells(group, row)]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def said(rates: Sequence[Rate], plan: Plan) -> list[str]:
    """Return in a few sentences what the rates mean for this grid."""
    scenario = plan.scenarios[0]
    return [
        *(_power(rates, plan, scenario) if scenario is not Scenario.COLLAPSE_ONLY else []),
        *_collapses(plan),
    ]


def _power(rates: Sequence[Rate], plan: Plan, scenario: Scenario) -> Iterator[str]:
    n, arms = plan.seeds[0], f" and a family of {plan.family}" if plan.family > 1 else ""
    ours = {rate.gain: rate for rate in rates_of(rates, OURS, scenario) if rate.seeds == n}
    naive = {rate.gain: rate for rate in rates_of(rates, NAIVE, scenario) if rate.seeds == n}
    gains = [gain for gain in sorted(set(plan.gains)) if gain]
    if gains:
        parts = [f"{g:g} points in {percent(ours[g].found)} %" for g in gains]
        yield (
            f"With {n} seeds, {plan.noise.items:,} test items{arms}, a true gain is found: of "
            f"{', of '.join(parts)} of cases."
        )
    if 0 in ours:
        yield (
            f"Where there is none the verdict says so wrongly in {percent(ours[0].false)} %, a "
            f"paired t test over seeds alone in {percent(naive[0].false)} %; "
            f"{percent(ours[0].undecided)} % of arms stay undecided."
        )


def _collapses(plan: Plan) -> Iterator[str]:
    if set(plan.scenarios) & set(COLLAPSING):
        seeds = sorted(set(plan.seeds))
        shares = chance_of_none(plan.noise.collapse, seeds)
        parts = [f"{percent(s)} % with {n}" for n, s in zip(seeds, shares, strict=True)]
        yield (
            f"Collapse: where {percent(plan.noise.collapse)} % of the runs do, no seed of an arm "
            f"shows it in {', '.join(parts)} seeds. No rule can judge what it has not seen: false "
            "alarms up to these shares are the price of few seeds."
        )


def planted(plan: Plan) -> list[str]:
    """Return what was planted, and how sure the shares are."""
    noise, half = plan.noise, 98 / plan.simulations**0.5
    return [
        f"Planted: accuracy {noise.accuracy:.3g} %, gains varying by {noise.sd:.2g} points over "
        f"seeds, arms disagreeing on {noise.disagreement:.3g} % of the items, seeds of an arm on "
        f"{noise.same_arm:.3g} %; margin {plan.rules.margin:g}. Each simulation draws new seeds "
        f"and a new test set. {plan.simulations:,} simulations: shares near 5 % are sure to "
        f"±{half * 0.436:.1f}, near 50 % to ±{half:.1f}."
    ]
