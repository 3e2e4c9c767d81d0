"""What the scripts of studies share: what they are asked, rows as CSV, a map of verdicts, counts.

A map has rows by columns, coloured, gains written in.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HARM, HELP = "negative", "positive"
COLOURS = {
    HELP: "#2b8a57",
    "harm ruled out": "#a9d8b8",
    "equivalent": "#d8d8d8",
    "gain ruled out": "#e9d3a2",
    "undecided": "#f7f4ec",
    HARM: "#b5372c",
}

Row = Mapping[str, Any]


def asked(says: str, beside: str) -> argparse.Namespace:
    """Return what a script was told: `results`, a ledger's folder, and `into`, where it writes.

    Args:
        says: what the script does; its first line is told by `--help`.
        beside: the script's file, beside which it writes unless it is told otherwise.
    """
    parser = argparse.ArgumentParser(description=says.splitlines()[0])
    parser.add_argument("results")
    parser.add_argument("--into", type=Path, default=Path(beside).parent)
    told = parser.parse_args()
    told.into.mkdir(parents=True, exist_ok=True)
    return told


def write(rows: Iterable[Row], path: Path, columns: Sequence[str]) -> None:
    """Write rows as CSV, of their keys these columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def draw(
    found: Sequence[Row],
    path: Path,
    columns: Sequence[str],
    rows: Sequence[str],
    of: str = "source",
    panels: tuple[str, Sequence[str]] | None = None,
) -> None:
    """Draw strategies by columns.

    Args:
        found: rows with `strategy`, `verdict`, `gain` (in points; rows without one are left out),
            what `of` names, and what panels are of.
        path: of the figure; its ending says the format.
        columns: the order of what `of` names.
        rows: the order of strategies.
        of: the key whose values are columns.
        panels: a key, and the order of its values: a map for each, side by side.
    """
    import altair as alt

    keys = ["strategy", of, "verdict", "gain", *([panels[0]] if panels else [])]
    values = [{key: row[key] for key in keys} for row in found if row["gain"] is not None]
    data = alt.Data(values=values)
    base = alt.Chart(data).encode(
        x=alt.X(f"{of}:N", sort=columns, title=None).axis(labelAngle=-60, labelLimit=240),
        y=alt.Y("strategy:N", sort=rows, title=None).axis(labelLimit=240),
    )
    shown = alt.Color("verdict:N", title=None)
    squares = base.mark_rect(stroke="white").encode(
        color=shown.scale(domain=[*COLOURS], range=[*COLOURS.values()])
    )
    dark = f"datum.verdict == '{HARM}' || datum.verdict == '{HELP}'"
    white = alt.condition(dark, alt.value("white"), alt.value("#333"))
    gains = base.mark_text(fontSize=8).encode(text=alt.Text("gain:Q", format="+.0f"), color=white)
    chart: Any = alt.layer(squares, gains).properties(width=30 * len(columns))
    if panels:
        chart = chart.facet(column=alt.Column(f"{panels[0]}:N", sort=panels[1], title=None))
    chart.save(path)


def counts(found: Sequence[Row], baseline: str = "scratch") -> list[str]:
    """Return lines: how many comparisons came to which verdict, and how many runs lost.

    Args:
        found: rows with `verdict` and `gains`, one a seed.
        baseline: what single runs are held against, in words.
    """
    verdicts = Counter(row["verdict"] for row in found)
    shares = [f"{name} {n} ({100 * n / len(found):.0f} %)" for name, n in verdicts.most_common()]
    runs = [gain for row in found for gain in row["gains"]]
    lost = sum(gain < 0 for gain in runs)
    return [
        f"of {len(found)} comparisons: {', '.join(shares)}",
        f"of {len(runs)} single runs {lost} ({100 * lost / len(runs):.0f} %) lie below {baseline}",
    ]
