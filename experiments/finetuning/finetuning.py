"""Which way of adapting a source's weights is worth it? Tables and maps of the study.

    python experiments/finetuning/finetuning.py results     # writes map.csv, table.md, map.svg

and prints how many comparisons came to which verdict. Every strategy is judged over `scratch`, its
primary baseline, and over plain fine-tuning; a section is a target with a label budget.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # what it shares, from wherever it is started

from shared import Row, asked, counts, draw, write
from transfergrid.api import verdict_rows
from transfergrid.records.errors import BadInputError

PLAIN = "full_finetuning"
SMALL = "scratch_small"
"""The encoder of `refine` without a source, which its paper's claim is about."""
OVER = ("scratch", PLAIN, SMALL)
COLUMNS = (
    *(
        "over",
        "strategy",
        "source",
        "target",
        "labels",
        "n",
        "mean",
        "baseline_mean",
        "gain",
        "low",
    ),
    *("high", "p_corrected", "verdict", "margin", "items_floor", "seeds_needed", "seconds"),
)
SIGNS = {
    "positive": "▲",
    "negative": "▼",
    "equivalent": "≈",
    "harm ruled out": "△",
    "gain ruled out": "▽",
    "undecided": "?",
}


def rows(results: str | Path) -> list[dict[str, Any]]:
    """Return a row for each strategy and section over each baseline that it is held against."""
    over_scratch = [r for r in verdict_rows(results) if r["primary"] and r["source"]]
    over_plain = [r for r in verdict_rows(results, over=PLAIN) if r["source"]]
    try:
        over_small = verdict_rows(results, over=SMALL, where="strategy=refine")
    except BadInputError:  # stage 2 runs no encoder alone
        over_small = []
    told = zip(OVER, (over_scratch, over_plain, over_small), strict=True)
    return [
        {**row, "over": name, "section": section(row), "strategy": plain_name(row["strategy"])}
        for name, found in told
        for row in found
        if row["source"]
    ]


def plain_name(strategy: str) -> str:
    """Return a strategy's name without what tells its settings for texts from those for images."""
    return strategy.partition("#")[0]


def section(row: Row) -> str:
    """Return the target, without its options, and the label budget."""
    return f"{row['target'].partition('(')[0]}, {row['labels']}"


def sections(found: Iterable[Row]) -> list[str]:
    """Return the sections there are, in order of target and budget."""
    by_place = sorted(found, key=lambda row: (row["target"], str(row["labels"]).zfill(4)))
    return list(dict.fromkeys(map(section, by_place)))


def order(found: Sequence[Row]) -> list[str]:
    """Return the strategies by their mean score over the sections that they have, best first.

    Sections differ in level and strategies in the sections that they can be in, so a score counts
    as its distance to the mean of its section.
    """
    level = {key: fmean(r["mean"] for r in own) for key, own in _by(found, "section").items()}
    scores = {
        name: fmean(row["mean"] - level[row["section"]] for row in own)
        for name, own in _by(found, "strategy").items()
    }
    return sorted(scores, key=lambda name: (-scores[name], name))


def _by(found: Iterable[Row], key: str) -> dict[str, list[Row]]:
    told: dict[str, list[Row]] = {}
    for row in found:
        if row["mean"] is not None:
            told.setdefault(row[key], []).append(row)
    return told


def table(found: Sequence[Row]) -> str:
    """Return, as Markdown, each strategy's score, gain over scratch and over plain fine-tuning."""
    by_key = {(r["over"], r["strategy"], r["section"]): r for r in found}
    columns = sections(found)
    lines = [f"| strategy | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for name in order([row for row in found if row["over"] == "scratch"]):
        cells = [_cell(by_key, name, column) for column in columns]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(by_key: dict[tuple[str, str, str], Row], name: str, column: str) -> str:
    own = by_key.get(("scratch", name, column))
    if own is None or own["mean"] is None:
        return "–"
    plain = by_key.get((PLAIN, name, column))
    beside = f"; {_gain(plain)}" if plain else ""
    return f"{own['mean']:.1f} {_gain(own)}{beside}"


def _gain(row: Row) -> str:
    """Return the verdict's sign, a gain, its interval, and what test items alone would leave."""
    sign = SIGNS[row["verdict"]]
    if row["gain"] is None:
        return sign
    ends = "" if row["low"] is None else f" [{row['low']:+.1f}, {row['high']:+.1f}]"
    floor = "" if row["items_floor"] is None else f" (±{row['items_floor']:.1f})"
    return f"{sign} {row['gain']:+.1f}{ends}{floor}"


def floors(found: Iterable[Row]) -> list[str]:
    """Return for each section and baseline what test items alone leave of the intervals."""
    lines = []
    told = [row for row in found if row["items_floor"] is not None]
    for over in OVER:
        for name in sections(r for r in told if r["over"] == over):
            own = [r["items_floor"] for r in told if (r["over"], r["section"]) == (over, name)]
            lines.append(
                f"{name} over {over}: ±{min(own):.1f} to ±{max(own):.1f} of {len(own)} rows"
            )
    return lines


def main() -> None:
    """Write the map, the table and the figure."""
    told = asked(__doc__, __file__)
    found = rows(told.results)
    found.sort(
        key=lambda r: (OVER.index(r["over"]), r["strategy"], r["target"], str(r["labels"]).zfill(4))
    )
    write(found, told.into / "map.csv", COLUMNS)
    (told.into / "table.md").write_text(table(found), encoding="utf-8")
    primary = [row for row in found if row["over"] == "scratch"]
    both = [row for row in found if row["over"] in OVER[:2]]
    columns = sections(found)
    draw(both, told.into / "map.svg", columns, order(primary), "section", ("over", OVER[:2]))
    for over in OVER:
        if held := [row for row in found if row["over"] == over]:
            print("\n".join([f"over {over}", *counts(held, over)]))
    print("\n".join(floors(found)))


if __name__ == "__main__":
    main()
