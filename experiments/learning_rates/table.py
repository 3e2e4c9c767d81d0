"""Print the table of a search from its logs: python table.py LOG.csv [LOG.csv]."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t

Scores = dict[str, dict[float, list[float]]]
"""Scores in % by strategy and value, one a seed: the mean over its targets and label budgets."""


def read(logs: Sequence[Path]) -> Scores:
    """Return what logs of `transfergrid tune` hold of one searched argument."""
    cells: dict[tuple[str, float, str], list[float]] = defaultdict(list)
    for log in logs:
        with log.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = _searched(row)
                value = float(f"{float(row[key]):.2g}")
                cells[row["strategy"], value, row["seed"]].append(100 * float(row["score"]))
    found: Scores = defaultdict(lambda: defaultdict(list))
    for (strategy, value, _), scores in sorted(cells.items()):
        found[strategy][value].append(mean(scores))
    return found


def _searched(columns: Iterable[str]) -> str:
    """Return the one argument that a log is of: its column stands between two that all have."""
    names = list(columns)
    (key,) = names[names.index("trial") + 1 : names.index("metric")]
    return key


def table(scores: Scores) -> list[str]:
    """Return lines of Markdown: means by value, the best one bold, and its 95 % interval."""
    values = sorted({value for by_value in scores.values() for value in by_value})
    heads = ["strategy", *(f"{value:g}" for value in values), "chosen, 95 % interval"]
    return [
        _line(heads),
        _line(["---"] * len(heads)),
        *(_line([f"`{name}`", *_row(scores[name], values)]) for name in sorted(scores)),
    ]


def _row(by_value: dict[float, list[float]], values: Sequence[float]) -> list[str]:
    means = {value: mean(found) for value, found in by_value.items()}
    best = max(means, key=lambda value: means[value])
    cells = [f"{means[value]:.1f}" if value in means else "" for value in values]
    cells[values.index(best)] = f"**{means[best]:.1f}**"
    n = len(by_value[best])
    half = float(t.ppf(0.975, n - 1)) * stdev(by_value[best]) / n**0.5
    low, high = max(0.0, means[best] - half), min(100.0, means[best] + half)
    return [*cells, f"{best:g}: {low:.0f} to {high:.0f}"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(table(read([Path(name) for name in sys.argv[1:]]))))
