"""What looking costs: an error that is spent, look by look, as seeds are added.

A family that is tested, given more seeds and tested again errs more often than it says. So every
look at its verdicts is kept, and each is allowed a part of the error only: after Lan and DeMets
(1983) with Pocock's spending function, at the p values' nominal level (Armitage, McPherson and Rowe
1969). A family that was never looked at before loses little; seeds that were declared beforehand
lose nothing. Each arm is charged for the seeds that were seen of it, a family as its dearest arm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from math import e, log, sqrt
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from transfergrid.border import Reader
from transfergrid.evidence.families import Family, Levels, Seen
from transfergrid.ledger import Ledger

RESERVE = 0.2
"""The part of the error that is kept for seeds added after those that were declared."""


@dataclass(frozen=True)
class Look:
    """One look at the verdicts of some families."""

    at: str
    """ISO 8601 time, UTC."""
    by: str
    """What showed them, such as "verdicts"."""
    seeds: dict[str, Seen] = field(default_factory=dict)
    """Seed blocks by arm, of each family as `named` spells it."""
    declaration: dict[str, Any] = field(default_factory=dict)
    """What was declared then."""


class Plan(NamedTuple):
    """What was declared of a family's seeds before anybody looked at it."""

    seeds: int | None = None
    """How many; None where nothing was declared."""
    most: int | None = None
    """Beyond which none will be added, if that was declared."""


def named(family: Family) -> str:
    """Spell a family as a key of JSON."""
    return "/".join(map(str, family))


def keep(ledger: Ledger, look: Look) -> None:
    """Write a look down, unless it shows nothing that an earlier one did not."""
    earlier = looks(ledger)
    if any(_is_news(earlier, name, shown) for name, shown in look.seeds.items()):
        kept = {**asdict(look), "seeds": {k: _packed(v) for k, v in look.seeds.items()}}
        ledger.write_document("looks", {"id": f"{look.at}-{len(earlier)}", **kept})


def _is_news(earlier: Sequence[Look], family: str, shown: Seen) -> bool:
    return any(not now <= _known(earlier, family, arm) for arm, now in shown.items())


def _packed(shown: Seen) -> dict[str, list[str]]:
    """Return arms by the seeds that they share, which are few."""
    found: dict[str, list[str]] = {}
    for arm, seeds in sorted(shown.items()):
        found.setdefault(" ".join(map(str, sorted(seeds))), []).append(arm)
    return found


def _unpacked(kept: Mapping[str, Sequence[str]]) -> Seen:
    shown = {seeds: frozenset(map(int, seeds.split())) for seeds in kept}
    return {arm: shown[seeds] for seeds, arms in kept.items() for arm in arms}


_Seeds = Annotated[str, Field(pattern=r"^(-?[0-9]{1,19}( -?[0-9]{1,19})*)?$")]


class _Declared(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    margin: float
    alpha: float
    correction: str
    max_seeds: int | None
    seeds: list[int]


class _Kept(TypedDict):
    at: str
    by: str
    seeds: dict[str, dict[_Seeds, list[str]]]
    declaration: _Declared


_kept: Reader[_Kept] = Reader(_Kept)


def read_look(text: bytes) -> Look:
    """Read one look.

    Raises:
        BadInputError: the text holds none.
    """
    kept = _kept(text)
    seeds = {family: _unpacked(shown) for family, shown in kept["seeds"].items()}
    return Look(kept["at"], kept["by"], seeds, {**kept["declaration"]})


def looks(ledger: Ledger) -> list[Look]:
    """Return all looks, the oldest first; those that cannot be read are left out with a warning."""
    return sorted(ledger.documents("looks", read_look), key=lambda look: look.at)


def _known(earlier: Iterable[Look], family: str, arm: str) -> frozenset[int]:
    """Return the seeds of an arm that were seen."""
    shown = (look.seeds.get(family, {}).get(arm, frozenset()) for look in earlier)
    return frozenset[int]().union(*shown)


def history(earlier: Iterable[Look], family: str, arm: str) -> list[int]:
    """Return how many seeds of an arm were known after each look, ascending.

    Looks that add no seeds to those before them count for nothing: they show what was seen.
    """
    known: frozenset[int] = frozenset()
    found = []
    for look in earlier:
        now = look.seeds.get(family, {}).get(arm, frozenset())
        if not now <= known:
            known |= now
            found.append(len(known))
    return found


def levels(
    earlier: Sequence[Look],
    alpha: Callable[[Family], float],
    plans: Mapping[str, Plan] | None = None,
) -> Levels:
    """Return what gives each family its error at this look: that of its dearest arm.

    Args:
        earlier: the looks before this one.
        alpha: gives the error of all looks together at a family.
        plans: what was declared of each family's seeds, by its name.
    """

    def level(family: Family, shown: Seen) -> tuple[float, float]:
        allowed, name = alpha(family), named(family)
        plan = (plans or {}).get(name, Plan())
        charged = {
            _charged(history(earlier, name, arm), now, _known(earlier, name, arm))
            for arm, now in shown.items()
            if now
        }
        both = [_priced(*one, plan, allowed) for one in charged]
        least = [min(level) for level in zip(*both, strict=True)] or [allowed, allowed]
        return least[0], least[1]

    return level


def _charged(
    before: Sequence[int], now: frozenset[int], known: frozenset[int]
) -> tuple[tuple[int, ...], bool]:
    """Return how many seeds were known at each look up to this one, and whether it shows them all.

    A look that shows new seeds without the old ones may reject where a look at all would not.
    """
    if now <= known:
        return tuple(before), True
    return (*before, len(now | known)), known <= now


def _priced(seen: tuple[int, ...], is_whole: bool, plan: Plan, alpha: float) -> tuple[float, float]:
    """Return an arm's level at the last of these looks, and at one with more seeds."""
    n, most = seen[-1], plan.most
    planned = plan.seeds or seen[0]  # of what was never declared, the first look is the plan
    if is_whole:
        level = nominal(seen, planned, alpha, most)
    else:  # other seeds than before: what may be spent, whatever was seen
        level = spent(n, planned, alpha, most) - spent(seen[-2], planned, alpha, most)
    more = max(most, n) if most else 2 * n  # the last look, or one that has the seeds doubled
    return level, nominal((*seen, more), planned, alpha, most) if more > n else 0.0


def spent(n: int, declared: int, alpha: float, most: int | None = None) -> float:
    """Return how much error may be spent by the look at `n` seeds.

    Pocock's function up to `most` seeds, where these are declared to be the last; else up to
    `declared`, by when all but the reserve may be spent. Of the reserve 1 − declared/n may be spent
    with n seeds.
    """
    last = max(most, declared) if most else declared
    reserve = 0.0 if most else RESERVE
    part = log(1 + (e - 1) * min(n / last, 1.0))
    return alpha * ((1 - reserve) * part + reserve * max(1 - last / n, 0.0))


@lru_cache(maxsize=1024)
def nominal(seeds: tuple[int, ...], declared: int, alpha: float, most: int | None = None) -> float:
    """Return the two-sided level of the last of several looks.

    With it, and those of the looks before it, the chance that any of them rejects without cause is
    what may be `spent` by now. Two looks' statistics correlate at least by √(n₁/n₂), for later
    seeds include the earlier ones and the test items are the same.

    Args:
        seeds: of each look, ascending.
        declared: see `spent`.
        alpha: see `spent`.
        most: see `spent`.
    """
    budgets = [spent(n, declared, alpha, most) for n in seeds]
    allowed = [b - a for a, b in zip([0.0, *budgets], budgets, strict=False)]
    return _levels(seeds, tuple(allowed))[-1]


_STEP, _FAR = 0.02, 9.0


def _levels(seeds: Sequence[int], allowed: Sequence[float]) -> list[float]:
    """Return each look's nominal level, by carrying on the density of what was not yet rejected.

    The density is that of z, on a grid; from look to look z' = √(n/n') z + √(1 − n/n') noise.
    """
    from scipy.special import ndtr, ndtri

    grid = np.arange(-_FAR, _FAR + _STEP / 2, _STEP)
    density = np.exp(-(grid**2) / 2) / sqrt(2 * np.pi)
    found: list[float] = []
    for k, error in enumerate(allowed):
        if k:
            share = seeds[k - 1] / seeds[k]
            width = sqrt(1 - share)
            steps = (grid[:, None] - sqrt(share) * grid[None, :]) / width
            kernel = np.exp(-(steps**2) / 2) / (sqrt(2 * np.pi) * width)
            density = kernel @ density * _STEP
        if error <= 1e-12:
            found.append(0.0)
            continue
        beyond = np.cumsum((density + density[::-1])[::-1])[::-1] * _STEP  # P(|z| >= grid)
        half = len(grid) // 2
        if k:  # the sum counts whole steps, so the bound lies half a step further out
            bound = float(np.interp(-error, -beyond[half:], grid[half:])) + _STEP / 2
        else:
            bound = float(ndtri(1 - error / 2))
        found.append(float(2 * ndtr(-bound)))
        density = np.where(np.abs(grid) < bound, density, 0.0)
    return found


def told(level: float, alpha: float) -> str:
    """Say in words what a level other than alpha means; empty if it is alpha."""
    if abs(level - alpha) < 1e-9:
        return ""
    return f"judged at {100 * level:.2g} %"
