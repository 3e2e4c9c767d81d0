"""Which task helps which when both are learned at once? The matrix of a study, task by task.

    python experiments/affinity/affinity.py results      # writes affinity.csv and affinity_*.svg

and prints the gains. A row of the figure is the task that gains or loses, a column what it is
learned beside.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # what it shares, from wherever it is started

from shared import Row, asked, counts, draw, write
from transfergrid.api import verdict_rows

COLUMNS = (
    *(
        "strategy",
        "task",
        "labels",
        "beside",
        "beside_labels",
        "over",
        "n",
        "mean",
        "baseline_mean",
    ),
    *("gain", "low", "high", "verdict"),
)
BESIDE = re.compile(r"beside (?P<name>.+), (?P<labels>\w+)$")
DOMAIN = re.compile(r"(?:^\w+\(domain=)(?P<name>[^,)]+(?:\([^)]*\))?)")


def rows(results: str | Path) -> list[dict[str, Any]]:
    """Return a row for each task, what it was learned beside, and the strategy that did it."""
    return [_plain(row) for row in verdict_rows(results, show="tasks") if row["gain"] is not None]


def _plain(row: Row) -> dict[str, Any]:
    beside, labels = beside_of(row["source"])
    return {
        **row,
        "task": row["target"],
        "beside": beside,
        "beside_labels": labels,
        "over": row["baseline"],
    }


def beside_of(source: str) -> tuple[str, str]:
    """Return the task that another was learned beside, and its labels: all of a source's."""
    if (told := BESIDE.search(source)) is not None:
        return told["name"], told["labels"]
    named = DOMAIN.search(source)
    return (named["name"] if named else source), "all"


def places(found: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as a map takes them: tasks by what they are learned beside, in panels."""
    return [{**row, "strategy": row["task"], "panel": panel_of(row)} for row in found]


def panel_of(row: Row) -> str:
    """Return which of the matrices a row belongs to: of targets, or of sources over them alone."""
    return f"{row['labels']} labels, beside {row['beside_labels']} of the other, over {row['over']}"


def main() -> None:
    """Write the matrix and the figures."""
    told = asked(__doc__, __file__)
    found = rows(told.results)
    write(found, told.into / "affinity.csv", COLUMNS)
    for strategy in dict.fromkeys(row["strategy"] for row in found):
        own = [row for row in found if row["strategy"] == strategy]
        draw_matrix(own, told.into / f"affinity_{strategy}.svg")
    for row in found:
        print(
            f"{row['strategy']}: {row['task']}, {row['labels']} beside {row['beside']}, "
            f"{row['beside_labels']}: {row['gain']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}] "
            f"{row['verdict']}"
        )
    print("\n".join(counts([{**row, "gains": []} for row in found], "alone")[:1]))


def draw_matrix(found: Sequence[Row], path: Path) -> None:
    """Draw what one strategy gives each task, a matrix for each pair of label budgets."""
    placed = places(found)
    tasks = sorted({row["task"] for row in found} | {row["beside"] for row in found})
    panels = list(dict.fromkeys(row["panel"] for row in placed))
    draw(placed, path, tasks, tasks, "beside", ("panel", panels))


if __name__ == "__main__":
    main()
