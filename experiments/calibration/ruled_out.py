"""What ruling out costs and brings, where arms stand just where each of its errors is easiest.

Families of eight arms over one baseline, in units of the margin: three have no gain, three lose
just the margin, two gain just the margin. False is a loss or a gain that there is not, an
equivalence at the margin, harm ruled out at a loss of it and a gain ruled out at a gain of it. All
p values are corrected by Holm within each of the sets, and the sets' errors add up in theory.

python experiments/calibration/ruled_out.py > experiments/calibration/ruled_out.txt (ten seconds)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.calibration.rules import decided
from transfergrid.evidence.statistics.intervals import wilson
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.rule import (
    EQUIVALENT,
    GAIN_RULED_OUT,
    HARM_RULED_OUT,
    NEGATIVE,
    POSITIVE,
    UNDECIDED,
    Codes,
    Estimates,
)

TRUE = np.array([0.0, 0.0, 0.0, -1.0, -1.0, -1.0, 1.0, 1.0])
"""True gains of the arms, the margin being 1."""
SIMULATIONS = 20_000
ROW = "{:>5} {:>5} {:>6} {:>10} {:>6} {:>6} {:>6} {:>6} {:>18} {:>5}"


def main() -> None:
    print(f"{len(TRUE)} arms: 3 at 0, 3 at minus the margin, 2 at the margin; Holm, error 5 %")
    print(f"{SIMULATIONS:,} simulations; per cent of families with a false claim (95 % interval),")
    print("by what is said, and of arms without a gain that stay undecided, without and with")
    print("harm ruled out and gain ruled out\n")
    heads = ("any", "(interval)", "sign", "equal", "harm", "gain", "undecided before", "now")
    print(ROW.format("seeds", "SE", *heads))
    for n in (3, 5, 10):
        for error in (0.2, 0.35, 0.5):
            print(ROW.format(n, f"{error:g}", *figures(kinds_of(n, error))))


def kinds_of(n: int, error: float) -> Codes:
    """Return what is said of each arm (simulations, arms) at a standard error in margins."""
    rng = np.random.default_rng(n)
    runs = rng.standard_normal((SIMULATIONS, len(TRUE) + 1, n)) * error * (n / 2) ** 0.5
    gains = runs[:, 1:] - runs[:, :1] + TRUE[:, None]  # the baseline's luck is shared
    se = gains.std(-1, ddof=1) / n**0.5
    seeds = Estimates(gains.mean(-1), se, np.full_like(se, n - 1.0))
    return decided([seeds], gains, Rules(margin=1.0))


def figures(kinds: Codes) -> list[str]:
    """Return a row: the families in which anything false is said, by what it is, and the gain."""
    sign = (kinds == NEGATIVE) & (TRUE >= 0) | (kinds == POSITIVE) & (TRUE <= 0)
    equal = (kinds == EQUIVALENT) & (np.abs(TRUE) >= 1)
    harm = (kinds == HARM_RULED_OUT) & (TRUE <= -1)
    gain = (kinds == GAIN_RULED_OUT) & (TRUE >= 1)
    every = (sign | equal | harm | gain).any(axis=1).mean()
    ends = "-".join(f"{100 * end:.1f}" for end in wilson(float(every), len(kinds)))
    none = kinds[:, TRUE == 0]
    ruled = (none == HARM_RULED_OUT) | (none == GAIN_RULED_OUT)
    now = (none == UNDECIDED).mean()
    parts = [percent(part.any(axis=1)) for part in (sign, equal, harm, gain)]
    return [f"{100 * every:.1f}", ends, *parts, f"{100 * (now + ruled.mean()):.0f}",
            f"{100 * now:.0f}"]  # fmt: skip


def percent(where: NDArray[np.bool_]) -> str:
    """Write the share of these that are so in per cent."""
    return f"{100 * where.mean():.1f}"


if __name__ == "__main__":
    main()
