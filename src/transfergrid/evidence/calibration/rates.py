"""The error rate and the power of decision rules, on planted truths."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.calibration.planted import Drawn, Noise, Scenario, draw, run, truth
from transfergrid.evidence.calibration.rules import RULES, Called, families
from transfergrid.evidence.statistics.intervals import wilson
from transfergrid.evidence.verdicts.decisions import CODES, Rules
from transfergrid.evidence.verdicts.rule import (
    EQUIVALENT,
    GAIN_RULED_OUT,
    HARM_RULED_OUT,
    NEGATIVE,
    POSITIVE,
)
from transfergrid.records.errors import BadInputError

SEEDS, GAINS, SIMULATIONS = (5, 3, 10), (0.0, 1.0, 2.0, 5.0), 2_000
MOST_RUNS = 100
"""The largest number of seeds of one arm; more would overflow the arrays' types."""
MOST_HELD = 50_000_000
"""The largest number of items times runs in one simulation: some 2 GB."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The performance of one rule under one planted truth; shares of the simulations, 0 to 1.

    All shares except `false` are about the family's first arm. Intervals are 95 % intervals for the
    limited number of simulations (Wilson 1927).
    """

    scenario: Scenario
    rule: str
    seeds: int
    items: int
    family: int
    gain: float
    """The first arm's true gain in points; the other arms have none."""
    simulations: int
    false: float
    """The share of families with any false verdict: a gain or a loss that does not exist,
    equivalence at a true gain (or loss) of the margin or more, harm ruled out at a true loss of the
    margin or more, or gain ruled out at a true gain of the margin or more."""
    false_low: float
    false_high: float
    found: float | None
    """The share judged positive or negative, and rightly so; None if there is no gain."""
    found_low: float | None
    found_high: float | None
    negative: float
    positive: float
    equivalent: float
    undecided: float
    harm_ruled_out: float
    gain_ruled_out: float
    covered: float | None
    """The share of uncorrected 95 % intervals that contain the true gain; None if the rule has
    none."""
    covered_low: float | None
    covered_high: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the rate by field name, ready for JSON."""
        return dataclasses.asdict(self)


COLUMNS = tuple(field.name for field in dataclasses.fields(Rate))


@dataclass(frozen=True)
class Plan:
    """The parameters of the simulations.

    Raises:
        BadInputError: a parameter is impossible.
    """

    noise: Noise = field(default_factory=Noise)
    rules: Rules = field(default_factory=Rules)
    seeds: tuple[int, ...] = SEEDS
    """Numbers of seeds; summary sentences are about the first of them."""
    gains: tuple[float, ...] = GAINS
    scenarios: tuple[Scenario, ...] = tuple(Scenario)
    family: int = 1
    simulations: int = SIMULATIONS

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 2 or max(self.seeds) > MOST_RUNS:
            given = ", ".join(map(str, self.seeds)) or "none"
            raise BadInputError(f"seeds must be from 2 to {MOST_RUNS}: {given}")
        if self.family < 1 or self.simulations < 1 or not self.gains or not self.scenarios:
            raise BadInputError("it takes an arm, a simulation, a gain and a scenario or more")
        if not np.isfinite(self.gains).all():
            raise BadInputError("gains must be numbers of points")
        if (self.family + 1) * max(self.seeds) * self.noise.items > MOST_HELD:
            raise BadInputError(
                f"{self.family:,} arms of {max(self.seeds)} seeds on {self.noise.items:,} test "
                "items are too many to simulate"
            )
        if self.rules.correction != "holm":
            raise BadInputError("families are simulated with Holm's correction only")

    def truths(self) -> list[tuple[Scenario, float]]:
        """Return each scenario with each gain and the margin; `COLLAPSE_ONLY` with its own gain."""
        gains = sorted({*self.gains, self.rules.margin})
        found = [(s, gain) for s in self.scenarios for gain in gains]
        only = Scenario.COLLAPSE_ONLY
        found = [pair for pair in found if pair[0] is not only]
        if only in self.scenarios:
            found.append((only, float(truth(self.noise, only, 0.0, 1)[0])))
        return found


def calibrate(plan: Plan, seed: int = 0, tell: Callable[[int], None] | None = None) -> list[Rate]:
    """Return each rule's rates over the simulations.

    All truths and numbers of seeds share the same random draws: fewer seeds are the first ones of
    more.

    Args:
        plan: the parameters of the simulations.
        seed: random seed of the simulations.
        tell: is called from time to time with the number of finished simulations.
    """
    done = 0
    counts: dict[tuple[Scenario, float, int, str], NDArray[np.int64]] = {}
    size = (plan.family, max(plan.seeds), plan.simulations)
    for drawn in draw(plan.noise, *size, seed=seed):
        for scenario, gain in plan.truths():
            _count(plan, scenario, gain, drawn, counts)
        done += len(drawn.latent)
        if tell is not None:
            tell(done)
    return [_rate(plan, *key, counted) for key, counted in counts.items()]


def _count(
    plan: Plan,
    scenario: Scenario,
    gain: float,
    drawn: Drawn,
    counts: dict[tuple[Scenario, float, int, str], NDArray[np.int64]],
) -> None:
    right = run(plan.noise, scenario, gain, drawn)
    true = truth(plan.noise, scenario, gain, plan.family)
    for n in sorted(set(plan.seeds)):
        seen = families(right[:, :, :n])
        for name, rule in RULES.items():
            counted = _counted(rule(seen, plan.rules), true, plan.rules.margin)
            key = (scenario, gain, n, name)
            counts[key] = counts.get(key, 0) + counted


def _counted(called: Called, true: NDArray[np.float64], margin: float) -> NDArray[np.int64]:
    """Return the counts of simulations that are false, of each of `CODES`, and covered.

    The last is -1 if the rule has no interval.
    """
    kinds, first = called.kinds, called.kinds[:, 0]
    false = (kinds == NEGATIVE) & (true >= 0) | (kinds == POSITIVE) & (true <= 0)
    false |= (kinds == EQUIVALENT) & (np.abs(true) >= margin)
    false |= (kinds == HARM_RULED_OUT) & (true <= -margin)
    false |= (kinds == GAIN_RULED_OUT) & (true >= margin)
    shares = [(first == kind).sum() for kind in CODES]
    covered = np.array(-1)
    if called.low is not None and called.high is not None:
        covered = ((called.low[:, 0] <= true[0]) & (true[0] <= called.high[:, 0])).sum()
    return np.array([false.any(axis=1).sum(), *shares, covered], dtype=np.int64)


def _rate(
    plan: Plan, scenario: Scenario, gain: float, n: int, rule: str, counted: NDArray[np.int64]
) -> Rate:
    false, *kinds, covered = (int(x) for x in counted)
    total = plan.simulations
    said = {kind.key: count / total for kind, count in zip(CODES.values(), kinds, strict=True)}
    found = kinds[0] if gain > 0 else kinds[1]
    return Rate(
        scenario=scenario,
        rule=rule,
        seeds=n,
        items=plan.noise.items,
        family=plan.family,
        gain=gain,
        simulations=total,
        **said,
        **_named("false", false, total),
        **_named("found", None if gain == 0 else found, total),
        **_named("covered", None if covered < 0 else covered, total),
    )


def _named(name: str, count: int | None, total: int) -> dict[str, Any]:
    """Return a share and its interval under the field names of `Rate`; None if there is none."""
    values = (None,) * 3 if count is None else (count / total, *wilson(count / total, total))
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def rates_of(
    rates: Sequence[Rate], rule: str, scenario: Scenario, gain: float | None = None
) -> list[Rate]:
    """Return one rule's rates in one scenario, sorted by seeds and gain; optionally of one gain."""
    found = [r for r in rates if r.rule == rule and r.scenario is scenario]
    found = [r for r in found if gain is None or r.gain == gain]
    return sorted(found, key=lambda rate: (rate.seeds, rate.gain))
