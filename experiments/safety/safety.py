"""From how much noise in a source's labels on does each strategy hurt? A map and a bracket each.

    python experiments/safety/safety.py results     # writes map.csv, brackets.md and map.svg beside

and prints how many comparisons came to which verdict, and how many single runs lie below `scratch`.

Of each strategy over `scratch`: the verdict from each source, and the shares of noise between which
it turns to proven harm. "40 to 60 %" says that harm is first proven at 60 %, and that at 40 % it
was looked for and not proven: ruled out, or undecided, as the next column tells.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # what it shares, from wherever it is started

from shared import HARM, asked, counts, draw, write
from transfergrid.api import verdict_rows

CLEAN = "glyph_digits"
SAFE = ("harm ruled out", "equivalent", "positive")
SMALL = "scratch_small"
"""The encoder of `refine` without a source, which its paper's claim is about."""
COLUMNS = ("over", "strategy", "source", "noise", "seeds", "gain", "low", "high", "verdict")

Row = Mapping[str, Any]


def rows(results: str | Path) -> list[dict[str, Any]]:
    """Return a row for each strategy and source, judged over `scratch`."""
    return [_plain(row, "scratch") for row in verdict_rows(results) if _is_primary(row)]


def rows_over_small(results: str | Path) -> list[dict[str, Any]]:
    """Return a row for `refine` from each source, judged over its encoder without a source."""
    found = verdict_rows(results, over=SMALL, where="strategy=refine")
    return [_plain(row, SMALL) for row in found if row["source"]]


def _is_primary(row: Row) -> bool:
    return bool(row["primary"] and row["source"])


def _plain(row: Row, over: str) -> dict[str, Any]:
    return {**row, "over": over, "noise": noise_of(row["source"]), "seeds": row["n"]}


def noise_of(source: str) -> float | None:
    """Return the share of a source's labels that are noise; None for another kind of source."""
    told = re.search(r"label_noise=([\d.]+)\)", source)
    return float(told[1]) if told else 0.0 if source == CLEAN else None


def bracket(by_noise: Mapping[float, str]) -> tuple[float | None, float | None]:
    """Return the largest share below the first proven harm, and that share; None where none is.

    Args:
        by_noise: verdict by share of noise.
    """
    shares = sorted(by_noise)
    hurt = next((share for share in shares if by_noise[share] == HARM), None)
    below = [share for share in shares if hurt is None or share < hurt]
    return (below[-1] if below else None), hurt


def safe_until(by_noise: Mapping[float, str]) -> float | None:
    """Return the largest share up to which harm is ruled out at every share; None for none."""
    found = None
    for share in sorted(by_noise):
        if by_noise[share] not in SAFE:
            break
        found = share
    return found


def brackets(found: Iterable[Row]) -> list[dict[str, Any]]:
    """Return where each strategy turns to harm, the safest first."""
    noise: dict[str, dict[float, str]] = {}
    others: dict[str, list[str]] = {}
    for row in found:
        if row["noise"] is None:
            if row["verdict"] == HARM:
                others.setdefault(row["strategy"], []).append(row["source"])
        else:
            noise.setdefault(row["strategy"], {})[row["noise"]] = row["verdict"]
    told = []
    for name, by_noise in noise.items():
        low, high = bracket(by_noise)
        hurt = sorted(others.get(name, []))
        safe = safe_until(by_noise)
        told.append({"strategy": name, "low": low, "high": high, "safe": safe, "hurt by": hurt})
    return sorted(told, key=_from_the_safest)


def _from_the_safest(one: Row) -> tuple[float, float, str]:
    turns, safe = (9.0 if one["high"] is None else one["high"]), one["safe"]
    return -turns, -(-1.0 if safe is None else safe), one["strategy"]


def table(found: Sequence[Row]) -> str:
    """Return the brackets as Markdown."""
    lines = ["| strategy | turns to harm | harm ruled out up to | other sources that hurt |"]
    lines.append("| --- | --- | --- | --- |")
    for one in found:
        low, high, safe = (_share(one[key]) for key in ("low", "high", "safe"))
        turns = "never shown" if one["high"] is None else f"{low} to {high}"
        turns = turns if low != "–" else f"at {high}"
        lines.append(f"| `{one['strategy']}` | {turns} | {safe} | {', '.join(one['hurt by'])} |")
    return "\n".join([*lines, ""])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:g} %"


def figure(found: Sequence[Row], path: Path) -> None:
    """Draw strategies by sources, coloured by verdict, gains written in."""
    sources = sorted({r["source"] for r in found}, key=lambda s: (noise_of(s) is None, s))
    draw(found, path, sources, [one["strategy"] for one in brackets(found)])


def main() -> None:
    """Write the map, the brackets and the figure."""
    told = asked(__doc__, __file__)
    found = rows(told.results)
    found.sort(key=lambda row: (row["strategy"], row["noise"] is None, str(row["source"])))
    write([*found, *rows_over_small(told.results)], told.into / "map.csv", COLUMNS)
    (told.into / "brackets.md").write_text(table(brackets(found)), encoding="utf-8")
    figure(found, told.into / "map.svg")
    print("\n".join(counts(found)))


if __name__ == "__main__":
    main()
