"""Score against the cut: a verdict for each number of kept blocks, as a table and a figure.

    python experiments/layers/layers.py results     # writes layers.csv and layers.svg beside itself

Arms as Yosinski et al. 2014 call them: A is the source, B the target, n the number of kept blocks,
+ where they are tuned. Each is judged over `scratch`; what the source's blocks lose against the
network's own (AnB over BnB) is judged beside it, of this test set alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # what it shares, from wherever it is started

from shared import asked, write
from transfergrid.api import verdict_rows
from transfergrid.evidence import foreign

ARMS = {
    ("network_surgery", "frozen"): "AnB",
    ("network_surgery", "tuned"): "AnB+",
    ("self_transfer", "frozen"): "BnB",
    ("self_transfer", "tuned"): "BnB+",
}
OWN = {"AnB": "BnB", "AnB+": "BnB+"}
"""What the source's blocks are compared with."""
COLUMNS = ("target", "labels", "source", "arm", "k", "over", "seeds", "score")
JUDGED = ("gain", "low", "high", "p_corrected", "verdict")

Row = dict[str, Any]


def arms(results: str | Path) -> list[Row]:
    """Return a row for each arm and cut, judged over `scratch`; `gains` are by `seeds`."""
    found = []
    for row in verdict_rows(results):
        told = re.match(r"(\w+)\(", row["strategy"])
        options = dict(re.findall(r"(\w+)=(\w+)", row["strategy"]))
        arm = ARMS.get((told[1] if told else "", options.get("kept", "")))
        if arm is not None and "cut" in options:
            k = int(options["cut"])
            found.append({**row, "arm": arm, "k": k, "over": "scratch", "score": row["mean"]})
    return found


def beside_own(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the source's arms judged over the network's own blocks at the same cut."""
    for arm, own in OWN.items():
        runs = [row for row in rows if row["arm"] in (arm, own)]
        if not {arm, own} <= {row["arm"] for row in runs}:
            continue
        known = {(row["source"], *_place(row)): row for row in runs if row["arm"] == arm}
        table = [run for row in runs for run in _runs(row)]
        columns = {name: [run[name] for run in table] for name in table[0]}
        for judged in foreign.verdicts(columns, baseline=own, unit="plain"):
            place = (judged["source"], *judged["target"].split("|"))
            yield {**known[place], **{name: judged[name] for name in JUDGED}, "over": own}


def _place(row: Row) -> tuple[str, ...]:
    return str(row["target"]), str(row["labels"]), str(row["k"])


def _runs(row: Row) -> Iterator[Row]:
    """Yield an arm's runs; what each gains over `scratch` stands for its score, in points."""
    source = row["source"] if row["arm"] in OWN else ""
    told = {"strategy": row["arm"], "source": source, "target": "|".join(_place(row))}
    for seed, gain in zip(row["seeds"], row["gains"], strict=True):
        yield {**told, "seed": seed, "score": gain}


def plain(row: Row) -> Row:
    """Return what stands in the table, the number of seeds in the place of their names."""
    kept = {name: row.get(name) for name in (*COLUMNS, *JUDGED)}
    kept["source"] = row["source"] if row["arm"] in OWN else ""
    kept["seeds"] = row["n"]
    return {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in kept.items()}


def figure(rows: Sequence[Row], path: Path) -> None:
    """Draw scores against the cut, one panel a source and label budget, `scratch` at no block."""
    import altair as alt

    sources = sorted({row["source"] for row in rows if row["arm"] in OWN})
    panels = [
        (row, s) for row in rows for s in sources if row["source"] == s or row["arm"] not in OWN
    ]
    drawn = [point for row, source in panels for point in _points(row, source)]
    chart = alt.Chart(alt.Data(values=drawn)).encode(
        x=alt.X("k:Q", title="blocks kept, from the input").axis(tickMinStep=1),
        color=alt.Color("arm:N", title=None),
    )
    lines = chart.mark_line(point=True).encode(
        y=alt.Y("mean(score):Q", title="accuracy in %").scale(zero=False)
    )
    bars = chart.mark_rule(opacity=0.4).encode(y="mean(low):Q", y2="mean(high):Q")
    panel = alt.layer(bars, lines).properties(width=260, height=200)
    panel.facet(facet=alt.Facet("panel:N", title=None), columns=2).save(path)


def _points(row: Row, source: str) -> Iterator[Row]:
    """Yield an arm's score at its cut, and that of `scratch` at none."""
    base = row["score"] - row["gain"]
    told = {"panel": f"{source}, {row['labels']} labels a class", "arm": row["arm"]}
    ends = (row["gain"] if end is None else end for end in (row["low"], row["high"]))
    low, high = (base + end for end in ends)
    yield {**told, "k": row["k"], "score": row["score"], "low": low, "high": high}
    yield {**told, "k": 0, "score": base, "low": base, "high": base}


def main() -> None:
    told = asked(__doc__, __file__)
    rows = arms(told.results)
    judged = [*rows, *beside_own(rows)]
    judged.sort(key=lambda row: [str(row[n]) for n in ("target", "source")] + [str(row["labels"])])
    write(map(plain, judged), told.into / "layers.csv", [*COLUMNS, *JUDGED])
    figure(rows, told.into / "layers.svg")


if __name__ == "__main__":
    main()
