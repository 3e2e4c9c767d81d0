"""The table of a calibration: rules on planted truths, and the conclusions in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transfergrid.evidence.calibration.planted import COLLAPSING, Scenario, chance_of_none
from transfergrid.evidence.calibration.rates import COLUMNS, Plan, Rate, rates_of
from transfergrid.evidence.calibration.rules import OURS, RULES
from transfergrid.report.tables.columns import Align, Column, Group, Medium, Page, Table
from transfergrid.report.tables.sheet import Sheet

NAIVE = "paired t over seeds"
NO_COLLAPSE = "(no collapse seen)"
Value = Callable[[Rate], float | None]


@dataclass(frozen=True)
class _Group:
    """Columns under one heading: a scenario, or a gain."""

    heading: str
    columns: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    """Cells by row name."""


def sheet(rates: Sequence[Rate], plan: Plan) -> Sheet:
    """Return the rates as a sheet.

    Args:
        rates: the result of `calibrate` for the plan.
        plan: the parameters of the simulations.
    """

    def page(_: Medium) -> Page:
        tables = [_table(title, groups) for title, groups in _sections(rates, plan) if groups]
        return Page(tables, below=[*said(rates, plan), *planted(plan)])

    def rounded() -> list[dict[str, Any]]:
        rows = ([(name, rate.as_dict()[name]) for name in COLUMNS] for rate in rates)
        return [{k: round(v, 5) if isinstance(v, float) else v for k, v in row} for row in rows]

    return Sheet(page, rounded, lambda: [rate.as_dict() for rate in rates], COLUMNS)


def _table(title: str, groups: Sequence[_Group]) -> Table[str]:
    """Return a table of rules, or verdicts, by scenario or gain, and by number of seeds."""

    def share(group: _Group, i: int) -> Column[str]:
        def text(row: str) -> str:
            return group.values[row][i] if row in group.values else ""

        return Column(group.columns[i], text, Align.RIGHT, over=group.heading)

    shares = [share(group, i) for group in groups for i in range(len(group.columns))]
    rows = list(dict.fromkeys(row for group in groups for row in group.values))
    return Table([Column("", str, key=True), *shares], [Group(rows)], title=title)


def _sections(rates: Sequence[Rate], plan: Plan) -> Iterator[tuple[str, list[_Group]]]:
    chosen = [s for s in plan.scenarios if s is not Scenario.COLLAPSE_ONLY]
    arms = f" in a family of {plan.family}" if plan.family > 1 else ""
    with_none = [s for s in chosen if _has_none(plan, s)]
    none = [_of_rules(rates, plan, s, 0.0, name_of(s), lambda r: r.false) for s in with_none]
    allowed = f"({100 * plan.rules.alpha:g} allowed)"
    yield f"False alarms{arms} where there is no gain, % by seeds {allowed}", none
    first = chosen[0] if chosen else None
    gains = [gain for gain in sorted(set(plan.gains)) if gain] if first else []
    name = name_of(first) if first else ""
    yield (
        f"True gains of {'the first' if plan.family > 1 else 'an'} arm that are found, % ({name})",
        [_of_rules(rates, plan, first, g, f"{g:+g} points", _found) for g in gains if first],
    )
    of_ours = [_of_ours(rates, plan, s) for s in plan.scenarios if _has_none(plan, s)]
    yield "What the verdict says where there is no gain, % of arms", of_ours


def name_of(scenario: Scenario) -> str:
    """Return the scenario's name in tables and figures."""
    return scenario.replace("_", " ")


def _has_none(plan: Plan, scenario: Scenario) -> bool:
    return 0.0 in plan.gains or scenario is Scenario.COLLAPSE_ONLY


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
        "harm ruled out": [rate.harm_ruled_out for rate in none],
        "gain ruled out": [rate.gain_ruled_out for rate in none],
    }
    if not only:
        at = rates_of(rates, OURS, scenario, margin)
        values[f"equivalent at {margin:+g}"] = [rate.equivalent for rate in at]
    heading = f"collapse only, {none[0].gain:+.3g}" if only and none else name_of(scenario)
    columns = tuple(map(str, sorted(set(plan.seeds))))
    return _Group(heading, columns, {k: tuple(map(percent, v)) for k, v in values.items()})


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 in per cent, with a decimal below ten."""
    if share is None:
        return "–"
    return f"{100 * share:.1f}" if share < 0.0995 else f"{100 * share:.0f}"


def said(rates: Sequence[Rate], plan: Plan) -> list[str]:
    """Return a few sentences on what the rates mean for this grid, and how to read them."""
    scenario = plan.scenarios[0]
    return [
        *_errors(rates, plan),
        *_collapses(plan),
        *_none(rates, plan),
        *(_power(rates, plan, scenario) if scenario is not Scenario.COLLAPSE_ONLY else []),
        *_read(plan),
    ]


def _errors(rates: Sequence[Rate], plan: Plan) -> Iterator[str]:
    """Yield where the verdict errs more often than allowed; unseen collapses are left out."""
    told = [rate for rate in rates if rate.rule == OURS and rate.scenario is not Scenario.COLLAPSE]
    told = [rate for rate in told if rate.gain <= 0 or rate.gain == plan.rules.margin]
    most: dict[tuple[Scenario, int], float] = {}
    for rate in told:
        if rate.false_low > plan.rules.alpha:
            where = rate.scenario, rate.seeds
            most[where] = max(rate.false, most.get(where, 0.0))
    allowed = f"the {100 * plan.rules.alpha:g} % that it may"
    names = ", ".join(dict.fromkeys(name_of(rate.scenario) for rate in told))
    if most:
        parts = [f"{percent(most[s, n])} % ({name_of(s)}, {n} seeds)" for s, n in most]
        yield f"The verdict errs in more than {allowed}: {', '.join(parts)}."
    elif told:
        yield f"The verdict errs in no more than {allowed}, up to chance in simulating: {names}."


def _none(rates: Sequence[Rate], plan: Plan) -> Iterator[str]:
    none = {rate.rule: rate for rate in rates if _is_usual(rate, plan)}
    if none:
        ours, naive = none[OURS], none[NAIVE]
        yield (
            f"With {ours.seeds} seeds it calls a gain or a loss where there is none in "
            f"{percent(ours.false)} %, a paired t test over seeds in {percent(naive.false)} %; "
            f"{percent(ours.undecided)} % of such arms stay undecided, "
            f"{percent(ours.equivalent)} % are shown to be equivalent (to differ by less than "
            f"{plan.rules.margin:g}; at a true gain of {plan.rules.margin:+g} that is an error), "
            f"and of {percent(ours.harm_ruled_out + ours.gain_ruled_out)} % harm or a gain that "
            "large is ruled out."
        )


def _is_usual(rate: Rate, plan: Plan) -> bool:
    return rate.scenario is plan.scenarios[0] and rate.gain == 0 and rate.seeds == plan.seeds[0]


def _power(rates: Sequence[Rate], plan: Plan, scenario: Scenario) -> Iterator[str]:
    n, arms = plan.seeds[0], f", in a family of {plan.family}," if plan.family > 1 else ""
    ours = {rate.gain: rate for rate in rates_of(rates, OURS, scenario) if rate.seeds == n}
    gains = [gain for gain in sorted(set(plan.gains)) if gain]
    if gains:
        parts = [f"{g:+g} in {percent(ours[g].found)} %" for g in gains]
        yield (
            f"With {n} seeds and {plan.noise.items:,} test items{arms} it finds a true gain, in "
            f"points, of {', of '.join(parts)} of cases."
        )


def _collapses(plan: Plan) -> Iterator[str]:
    if set(plan.scenarios) & set(COLLAPSING):
        seeds = sorted(set(plan.seeds))
        shares = chance_of_none(plan.noise.collapse, seeds)
        parts = [f"{percent(s)} % with {n}" for n, s in zip(seeds, shares, strict=True)]
        yield (
            f"Collapse: where {percent(plan.noise.collapse)} % of an arm's runs predict one class, "
            f"no seed shows it in {', '.join(parts)} seeds. No rule can judge what it has not "
            "seen: false alarms up to these shares are the price of few seeds."
        )


def _read(plan: Plan) -> Iterator[str]:
    yield (
        "Rules: 'verdict' is this program's, of new seeds and new test items, corrected for the "
        "family; 'seeds only' is what is left of it without predictions ('on this test set'). "
        "Naive: t tests and a bootstrap of scores over seeds; a paired test of one seed's items; "
        "error bars that do not overlap; a mean that is higher or lower."
    )
    shapes = {
        Scenario.HEAVY_TAILS: "heavy tails, t with 3 degrees of freedom",
        Scenario.SKEW: "skew, mostly a little more and now and then much less",
        Scenario.COLLAPSE: "collapse, made up for by the runs that do not: no gain in the mean",
        Scenario.COLLAPSE_ONLY: "collapse only, which makes the gain negative",
    }
    found = [shapes[scenario] for scenario in plan.scenarios if scenario in shapes]
    if found:
        yield f"Scenarios, how gains vary over seeds: {'; '.join(found)}."


def planted(plan: Plan) -> list[str]:
    """Return the planted parameters, and the precision of the shares."""
    noise, half = plan.noise, 98 / plan.simulations**0.5
    return [
        f"Planted: accuracy {noise.accuracy:.3g} %, gains varying by {noise.sd:.2g} points over "
        f"seeds, arms disagreeing on {noise.disagreement:.3g} % of the items, seeds of an arm on "
        f"{noise.same_arm:.3g} %; margin {plan.rules.margin:g}. Each simulation draws new seeds "
        f"and a new test set. {plan.simulations:,} simulations: shares near 5 % are known to "
        f"±{half * 0.436:.1f}, near 50 % to ±{half:.1f}."
    ]
