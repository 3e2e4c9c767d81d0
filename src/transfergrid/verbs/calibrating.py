"""The verb `calibrate`: measure how far this grid's verdicts can be trusted."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from transfergrid.evidence.calibration.noise import Observed, observed
from transfergrid.evidence.calibration.planted import Noise, Scenario
from transfergrid.evidence.calibration.rates import GAINS, SEEDS, SIMULATIONS, Plan, calibrate
from transfergrid.evidence.declared.judged import Bench, bench_of
from transfergrid.evidence.measured import selecting
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.report.planning import calibration_plot, calibration_table
from transfergrid.report.tables.sheet import show
from transfergrid.verbs.parser import Parser, listed

PROG = "transfergrid calibrate"
FACTS = ("items", "sd", "accuracy", "disagreement", "same_arm", "classes", "collapse")


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid calibrate [RESULTS] [--seeds N,N] [--items N] [--sd POINTS] ...`."""
    chosen = _parser().parse_args(arguments)
    if chosen.plot:
        calibration_plot.check_place(chosen.plot)
    plan = _plan(chosen)
    rates = calibrate(plan, chosen.random_seed, _progress(plan) if sys.stderr.isatty() else None)
    show(calibration_table.sheet(rates, plan), chosen.format)
    if chosen.plot:
        calibration_plot.save(rates, plan, chosen.plot)
    return 0


def _progress(plan: Plan) -> Callable[[int], None]:
    """Return a progress callback that rewrites one line on the terminal, cleared at the end."""

    def tell(done: int) -> None:
        line = f"{done:,} of {plan.simulations:,} simulations"
        end = "\r" + " " * len(line) + "\r" if done == plan.simulations else ""
        sys.stderr.write(f"\r{line}{end}")  # only numbers, so safe to print
        sys.stderr.flush()

    return tell


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROG,
        description="How far can verdicts be trusted? Plants gains that are known, and counts how "
        "often verdicts and naive rules are wrong about them and how often they find them. Noise, "
        "seeds, test size and family are those of a folder of results, or as given here. For "
        "example: transfergrid calibrate results --seeds 5,10 --plot trust.svg",
    )
    add = parser.add_argument
    number = functools.partial(add, type=float, metavar="X")
    parser.add_ledger("a ledger's folder, to learn from; otherwise the defaults below", None)
    usual = Noise()
    add("--seeds", metavar="N,N", help="numbers of seeds; by default the grid's own, 3, 5 and 10")
    add("--items", type=int, metavar="N", help=f"test items ({usual.items})")
    endless = "of a gain over seeds, in points, were there endless test items"
    number("--sd", help=f"{endless} ({usual.sd:g})")
    number("--accuracy", help=f"of an arm that does not collapse, in %% ({usual.accuracy:g})")
    alone = "%% of items that one of two {} alone gets right ({:g})".format
    number("--disagreement", help=alone("arms", usual.disagreement))
    number("--same-arm", help=alone("seeds", usual.same_arm))
    add("--classes", type=int, metavar="N", help=f"a collapsed run scores 1 in N ({usual.classes})")
    share = "share of runs that collapse, in those scenarios"
    number("--collapse", help=f"{share} ({usual.collapse:g})")
    add("--family", type=int, metavar="N", help="arms with one baseline, corrected together (1)")
    add("--gain", metavar="X,X", help="true gains in points (0,1,2,5)")
    number("--margin", help="of practical relevance, in points; by default as declared (1)")
    add("--simulations", type=int, default=SIMULATIONS, metavar="N", help=f"({SIMULATIONS})")
    add("--random-seed", type=int, default=0, metavar="N", help="of the simulations (0)")
    add("--scenario", metavar="NAME,NAME", help=f"{', '.join(Scenario)} (all)")
    parser.add_format()
    add("--plot", type=Path, metavar="FILE", help="draw it: .svg, .png or .html")
    return parser


def _plan(chosen: argparse.Namespace) -> Plan:
    bench = bench_of(Ledger(chosen.results)) if chosen.results else None
    if chosen.where and bench is None:
        raise BadInputError("--where is about a folder of results, and none is given")
    grid = _observed(bench, chosen.where) if bench else None
    given = {name: value for name in FACTS if (value := getattr(chosen, name)) is not None}
    own = (grid.seeds,) if grid and grid.seeds > 1 else ()
    family = chosen.family if chosen.family is not None else grid.family if grid else 1
    return Plan(
        noise=_with(grid.noise if grid else Noise(), given),
        rules=_rules(bench, chosen.margin),
        seeds=listed(chosen.seeds, int, "--seeds") or tuple(dict.fromkeys((*own, *SEEDS))),
        gains=listed(chosen.gain, float, "--gain") or GAINS,
        scenarios=_scenarios(chosen.scenario),
        family=family,
        simulations=chosen.simulations,
    )


def _with(noise: Noise, given: dict[str, float]) -> Noise:
    """Return the noise with the given values; disagreements not given scale with the accuracy."""
    accuracy = given.get("accuracy", noise.accuracy)
    scale = accuracy * (100 - accuracy) / (noise.accuracy * (100 - noise.accuracy))
    scaled = {name: getattr(noise, name) * scale for name in ("disagreement", "same_arm")}
    if "disagreement" in given and "same_arm" not in given:
        ratio = noise.same_arm / noise.disagreement
        scaled["same_arm"] = given["disagreement"] * ratio
    return dataclasses.replace(noise, **{**scaled, **given})


def _rules(bench: Bench | None, margin: float | None) -> Rules:
    """Return the declared rules with Holm's correction, the only one that is simulated."""
    rules = dataclasses.replace(bench.declaration.rules if bench else Rules(), correction="holm")
    return rules if margin is None else dataclasses.replace(rules, margin=margin)


def _observed(bench: Bench, where: str) -> Observed:
    results = selecting.selected(bench.results, selecting.Where.parse(where))
    found = observed(results, bench.outcomes)
    say(
        f"Noise as in {found.arms} arm{'s' * (found.arms > 1)} of '{bench.ledger.root}': medians "
        f"of {found.seeds} seeds, families of {found.family}.",
        file=sys.stderr,
    )
    return found


def _scenarios(text: str | None) -> tuple[Scenario, ...]:
    names = listed(text, str, "--scenario")
    for name in names:
        check_known("scenario", name, list(Scenario))
    return tuple(Scenario(name) for name in names) or tuple(Scenario)
