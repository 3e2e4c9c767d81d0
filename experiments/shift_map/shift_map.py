"""Which strategy hurts under which shift? Maps and counts of the study of two moons.

    python experiments/shift_map/shift_map.py results

writes `map.csv`, `counts.md` and `map_*.svg`; what each rule that chooses a step without target
labels costs each strategy, `rules.csv`, and how often it leaves it below its baseline, `below.md`;
and prints how many comparisons came to which verdict, and how many single runs lie below their
baseline: of all, and of those without any shift or noise.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # what it shares, from wherever it is started

from shared import COLOURS, HARM, Row, asked, counts, draw, write
from transfergrid.api import verdict_rows

SHIFTS = (
    *("none", "translated", "scaled", "rotated", "sheared", "all"),
    *("skewed_classes", "salt_and_pepper", "overlapping", "sub_clusters"),
)
NOISES = ("0 %", "20 %", "50 %")
COLUMNS = ("labels", "over", "strategy", "shift", "noise", "n", "gain", "low", "high", "verdict")


def rows(results: str | Path) -> list[dict[str, Any]]:
    """Return a row for each strategy, shift, noise and label budget, over its own baseline."""
    return [_plain(row) for row in verdict_rows(results) if row["primary"] and row["source"]]


def _plain(row: Row) -> dict[str, Any]:
    shift, noise = place_of(row["source"])
    return {**row, "over": row["baseline"], "shift": shift, "noise": noise}


def place_of(source: str) -> tuple[str, str]:
    """Return the shift and the noise that a source's name tells; what it leaves out is none."""
    shift = re.search(r"shift=(\w+)", source)
    noise = re.search(r"label_noise=([\d.]+)", source)
    return shift[1] if shift else "none", f"{100 * float(noise[1]) if noise else 0:g} %"


def order(found: Sequence[Row]) -> list[str]:
    """Return the strategies, the one that hurts most often last."""
    hurt = Counter(row["strategy"] for row in found if row["verdict"] == HARM)
    helped = Counter(row["strategy"] for row in found if row["verdict"] == "positive")
    names = {row["strategy"] for row in found}
    return sorted(names, key=lambda name: (hurt[name], -helped[name], name))


def tally(found: Sequence[Row], key: str, names: Sequence[str]) -> str:
    """Return, as Markdown, how many comparisons of each came to which verdict."""
    there = [verdict for verdict in COLOURS if any(row["verdict"] == verdict for row in found)]
    lines = [f"| {key} | {' | '.join(there)} |", f"| --- |{' --- |' * len(there)}"]
    for name in names:
        own = Counter(row["verdict"] for row in found if row[key] == name)
        lines.append(f"| `{name}` | {' | '.join(str(own[v] or '') for v in there)} |")
    return "\n".join(lines)


def below(found: Sequence[Row]) -> str:
    """Return, as Markdown, the share of runs below their baseline, by strategy and rule.

    Both runs are chosen by the same rule. The first line is of all strategies together.
    """
    rules = list(dict.fromkeys(row["rule"] for row in found))
    lines = [f"| strategy | n | {' | '.join(rules)} |", f"| --- | --- |{' --- |' * len(rules)}"]
    for name in dict.fromkeys(row["strategy"] for row in found if row["compared"]):
        own = {row["rule"]: row for row in found if row["strategy"] == name and row["compared"]}
        shares = [
            f"{100 * own[rule]['below'] / own[rule]['compared']:.0f} %" if rule in own else ""
            for rule in rules
        ]
        most = max(row["compared"] for row in own.values())
        lines.append(f"| {f'`{name}`' if name else 'all'} | {most} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the map, the counts, the figures and what rules cost."""
    told = asked(__doc__, __file__)
    found = rows(told.results)
    write(found, told.into / "map.csv", COLUMNS)
    parts = []
    for labels in dict.fromkeys(row["labels"] for row in found):
        own = [row for row in found if row["labels"] == labels]
        draw(own, told.into / f"map_{labels}.svg", SHIFTS, order(own), "shift", ("noise", NOISES))
        parts += [f"{labels} labels a class", tally(own, "shift", SHIFTS)]
        parts += [tally(own, "strategy", order(own))]
    (told.into / "counts.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    gaps = verdict_rows(told.results, show="rules")
    write(gaps, told.into / "rules.csv", tuple(gaps[0]))
    (told.into / "below.md").write_text(below(gaps) + "\n", encoding="utf-8")
    print("\n".join(counts(found, "their baseline")))
    print("without shift or noise:")
    still = [row for row in found if (row["shift"], row["noise"]) == ("none", "0 %")]
    print("\n".join(counts(still, "their baseline")))


if __name__ == "__main__":
    main()
