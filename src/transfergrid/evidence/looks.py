"""What looking costs: an error that is spent, look by look, as seeds are added.

A family that is tested, given more seeds and tested again errs more often than it says. So every
look at its verdicts is kept, and each is allowed a part of the error only: after Lan and DeMets
(1983) with Pocock's spending function, at the p values' nominal level (Armitage, McPherson and Rowe
1969). A family that was never looked at before loses little; seeds that were declared beforehand
lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from math import e, log, sqrt
from typing import Any

import numpy as np

from transfergrid.errors import BadInputError
from transfergrid.evidence.judging import Family, Levels
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
    seeds: dict[str, int] = field(default_factory=dict)
    """Seed blocks by family, as `named` spells it."""
    declaration: dict[str, Any] = field(default_factory=dict)
    """What was declared then."""


def named(family: Family) -> str:
    """Spell a family as a key of JSON."""
    return "/".join(map(str, family))


def keep(ledger: Ledger, look: Look) -> None:
    """Write a look down, unless it shows nothing that an earlier one did not."""
    earlier = looks(ledger)
    if all(n <= max(history(earlier, name), default=0) for name, n in look.seeds.items()):
        return
    ledger.write_document("looks", {"id": f"{look.at}-{len(earlier)}", **asdict(look)})


def looks(ledger: Ledger) -> list[Look]:
    """Return all looks, the oldest first."""
    found = []
    for kept in ledger.documents("looks"):
        try:
            found.append(Look(kept["at"], kept["by"], kept["seeds"], kept["declaration"]))
        except KeyError as error:
            raise BadInputError(f"a look in '{ledger.root}/looks' lacks {error}") from None
    return sorted(found, key=lambda look: look.at)


def history(earlier: Iterable[Look], family: str) -> list[int]:
    """Return with how many seeds a family was looked at, ascending.

    Looks that add no seeds to those before them count for nothing: they show what was seen.
    """
    found: list[int] = []
    for look in earlier:
        n = look.seeds.get(family, 0)
        if n > max(found, default=0):
            found.append(n)
    return found


def levels(
    earlier: Sequence[Look],
    alpha: float,
    declared: Mapping[str, int] | int | None,
    most: int | None = None,
) -> Levels:
    """Return what gives each family its error at this look.

    Args:
        earlier: the looks before this one.
        alpha: the error of all looks together.
        declared: seeds declared beforehand, by family or for all; None: those that there are.
        most: seeds beyond which none will be added, if that was declared.
    """

    def level(family: Family, n: int) -> tuple[float, float]:
        if n < 1:  # nothing to look at
            return alpha, alpha
        name = named(family)
        seen = (*(m for m in history(earlier, name) if m < n), n)
        planned = declared.get(name) if isinstance(declared, Mapping) else declared
        if planned is None:  # of what was never declared, the first look is the plan
            planned = seen[0]
        more = max(most, n) if most else 2 * n  # the last look, or one that has the seeds doubled
        then = nominal((*seen, more), planned, alpha, most) if more > n else 0.0
        return nominal(seen, planned, alpha, most), then

    return level


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
