"""The section of tuning: what is expected of the best of k settings, arm by arm, on one axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup, escape

from transfergrid.evidence.arms import display_names, grouped, labels_order
from transfergrid.evidence.best_of import Tried, tried
from transfergrid.evidence.results import AnyCell
from transfergrid.records.cell import Labels
from transfergrid.records.record import Record
from transfergrid.report.columns import Align, Column
from transfergrid.report.html import columns
from transfergrid.report.html.data import Section

Arm = tuple[str, Labels, str, Tried]
"""Target, label budget, name, and what more trials gave it."""
WIDTH, HEIGHT, EDGE, NAMES = 420, 180, 34, 300
"""Pixels of a drawing's axes, what is left around them, and room for the names on the right."""
LINE, KEY = 14, 26
"""Pixels from name to name, and of the piece of its line that stands before each."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 5", "12 4")


def tuning(records: Sequence[Record]) -> Section | None:
    """Return what more trials gave, where any cell searched for its settings."""
    arms = _arms(records)
    if not arms:
        return None
    most = max(len(told.curve) for *_, told in arms)
    shown = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k < most] + [most]
    table = columns.limited([*_names(), *(_best_of(k) for k in shown), _failed()], arms)
    places: defaultdict[tuple[str, Labels], list[Arm]] = defaultdict(list)
    for arm in arms:
        places[arm[:2]].append(arm)
    learned = sorted({name for *_, name, told in arms if not told.alike})
    lines = [f"Of what an earlier trial taught, so their order tells: {', '.join(learned)}."]
    return Section(
        "tuning",
        (table,),
        tuple(lines if learned else ()),
        pictures=tuple(_drawing(place, inside) for place, inside in places.items() if most > 1),
    )


def _arms(records: Sequence[Record]) -> list[Arm]:
    groups = grouped(records)
    called = display_names(groups)
    found = [
        (called[key][3], key[1], _name(called[key], cells[0]), told)
        for key, cells in groups.items()
        if (told := tried(cells)) is not None
    ]
    return sorted(found, key=lambda arm: (arm[0], labels_order(arm[1]), arm[2]))


def _name(called: tuple[str | None, str | None, str, str], cell: AnyCell) -> str:
    source, architecture, strategy, _ = called
    return " ".join(filter(None, (source or architecture, strategy)))


def _names() -> list[Column[Arm]]:
    return [
        Column("target", lambda arm: arm[0]),
        Column("labels", lambda arm: str(arm[1])),
        Column("arm", lambda arm: arm[2]),
        columns.count("trials", lambda arm: len(arm[3].curve)),
        columns.count("seeds", lambda arm: arm[3].n),
    ]


def _best_of(k: int) -> Column[Arm]:
    def text(arm: Arm) -> str:
        curve = arm[3].curve
        return f"{curve[k - 1]:.1f}" if k <= len(curve) else ""

    return Column(f"best of {k}", text, Align.RIGHT)


def _failed() -> Column[Arm]:
    return columns.count("failed", lambda arm: arm[3].failed or None)


def _drawing(place: tuple[str, Labels], arms: Sequence[Arm]) -> Markup:
    """Draw the curves of one target and label budget, each named at its end."""
    values = [value for *_, told in arms for value in told.curve]
    low, high = min(values), max(values)
    most = max(len(told.curve) for *_, told in arms)

    def x(k: int) -> float:
        return EDGE + (k - 1) / max(most - 1, 1) * WIDTH

    def y(value: float) -> float:
        return EDGE + (high - value) / ((high - low) or 1.0) * HEIGHT

    ends = _apart([y(told.curve[-1]) for *_, told in arms])
    parts = []
    for number, ((_, _, name, told), end) in enumerate(zip(arms, ends, strict=True)):
        points = " ".join(f"{x(k):.1f},{y(v):.1f}" for k, v in enumerate(told.curve, 1))
        dash = DASHES[number % len(DASHES)]
        pen = f'fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="{dash}"'
        parts.append(f'<polyline points="{points}" {pen}/>')
        beside = x(len(told.curve)) + 8
        level = f'y1="{end:.1f}" y2="{end:.1f}"'
        parts.append(f'<line x1="{beside:.1f}" x2="{beside + KEY:.1f}" {level} {pen}/>')
        parts.append(f'<text x="{beside + KEY + 6:.1f}" y="{end + 4:.1f}">{escape(name)}</text>')
    title = f"{place[0]}, labels={place[1]}: expected validation score of the best of k trials"
    base = EDGE + HEIGHT + 16
    axes = (
        f'<text x="{EDGE}" y="{base}">1</text><text x="{EDGE + WIDTH}" y="{base}">{most}</text>'
        f'<text x="{EDGE + WIDTH / 2:.0f}" y="{base}">k</text>'
        f'<text x="2" y="{EDGE + 4}">{high:.1f}</text>'
        f'<text x="2" y="{EDGE + HEIGHT}">{low:.1f}</text>'
    )
    size = f"{WIDTH + EDGE + NAMES} {max(base, *(round(end) for end in ends)) + 8}"
    return Markup(
        f'<figure><h4>{escape(title)}</h4><svg viewBox="0 0 {size}" role="img" font-size="11" '
        f'fill="currentColor" aria-label="{escape(title)}">{axes}{"".join(parts)}</svg></figure>'
    )


def _apart(places: Sequence[float]) -> list[float]:
    """Return heights of names in the order of their lines, none over another."""
    found = [0.0] * len(places)
    least = -float(LINE)
    for number in sorted(range(len(places)), key=lambda number: places[number]):
        least = found[number] = max(places[number], least + LINE)
    return found
