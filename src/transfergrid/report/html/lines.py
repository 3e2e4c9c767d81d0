"""A line chart over evenly spaced places, each line named at its end, drawn without a library."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, EDGE, NAMES = 420, 180, 34, 300
"""Pixels of a drawing's axes, of its margin, and of the room for names on the right."""
LINE, KEY = 14, 26
"""Pixels from name to name, and of the line sample before each name."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 5", "12 4")


def drawing(
    title: str,
    axis: tuple[str, str, str],
    lines: Sequence[tuple[str, Sequence[float]]],
    digits: int = 1,
) -> Markup:
    """Return a drawing of lines, each named at its end.

    Args:
        title: the title above them, also the text for screen readers.
        axis: the labels below the first place, the middle, and the last place.
        lines: the name of each line and its values, from the first place on.
        digits: number of decimals of the values on the axis.
    """
    values = [value for _, line in lines for value in line]
    low, high = min(values), max(values)
    most = max(len(line) for _, line in lines)

    def x(place: int) -> float:
        return EDGE + place / max(most - 1, 1) * WIDTH

    def y(value: float) -> float:
        return EDGE + (high - value) / ((high - low) or 1.0) * HEIGHT

    ends = _apart([y(line[-1]) for _, line in lines])
    parts = []
    for number, ((name, line), end) in enumerate(zip(lines, ends, strict=True)):
        points = " ".join(f"{x(place):.1f},{y(v):.1f}" for place, v in enumerate(line))
        dash = DASHES[number % len(DASHES)]
        pen = f'fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="{dash}"'
        parts.append(f'<polyline points="{points}" {pen}/>')
        beside = x(len(line) - 1) + 8
        level = f'y1="{end:.1f}" y2="{end:.1f}"'
        parts.append(f'<line x1="{beside:.1f}" x2="{beside + KEY:.1f}" {level} {pen}/>')
        parts.append(f'<text x="{beside + KEY + 6:.1f}" y="{end + 4:.1f}">{escape(name)}</text>')
    base = EDGE + HEIGHT + 16
    size = f"{WIDTH + EDGE + NAMES} {max(base, *(round(end) for end in ends)) + 8}"
    axes = _axes(axis, base, (f"{low:.{digits}f}", f"{high:.{digits}f}"))
    return Markup(
        f'<figure><h4>{escape(title)}</h4><svg viewBox="0 0 {size}" role="img" font-size="11" '
        f'fill="currentColor" aria-label="{escape(title)}">{axes}{"".join(parts)}</svg></figure>'
    )


def _axes(axis: tuple[str, str, str], base: int, ends: tuple[str, str]) -> str:
    """Return the labels of both axes."""
    first, middle, last = map(escape, axis)
    return (
        f'<text x="{EDGE}" y="{base}">{first}</text>'
        f'<text x="{EDGE + WIDTH}" y="{base}">{last}</text>'
        f'<text x="{EDGE + WIDTH / 2:.0f}" y="{base}">{middle}</text>'
        f'<text x="2" y="{EDGE + 4}">{ends[1]}</text>'
        f'<text x="2" y="{EDGE + HEIGHT}">{ends[0]}</text>'
    )


def _apart(places: Sequence[float]) -> list[float]:
    """Return heights for the names, in the order of their lines, without overlaps."""
    found = [0.0] * len(places)
    least = -float(LINE)
    for number in sorted(range(len(places)), key=lambda number: places[number]):
        least = found[number] = max(places[number], least + LINE)
    return found
