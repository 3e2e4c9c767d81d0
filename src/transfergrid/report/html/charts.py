"""The charts, in Vega-Lite by altair: each is a template whose data set is called "rows".

No chart names a colour; `themes` defines them. The page fills in the rows that pass its filters,
and `figures` those of one target and label budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import Verdict

HATCH = " ".join(f"M{x},.5L{x + 1},-.5" for x in (-1.5, -1.0, -0.5, 0.0, 0.5))
"""Diagonal lines over a unit square, as the SVG path of a mark."""
KINDS = [kind.value for kind in Kind]
SHAPES = ["triangle-up", "triangle-down", "square", "triangle-right", "triangle-left", "circle"]
PLACEBO_NAMED = (
    "datum.source + (datum.kind == 'placebo' && indexof(datum.source, 'placebo') < 0"
    " ? ' (placebo)' : '')"
)
"""The expression for a column's name: a placebo is marked as such if its name does not say so."""
BAND = {"from_": "-datum.margin", "to_": "datum.margin"}
"""The ends of the band of no relevance, for the target of a row."""
Spec = dict[str, Any]


def templates(margin: float, reach: float, sources: Sequence[str], counted: str) -> dict[str, Spec]:
    """Return every chart's specification by name.

    Args:
        margin: δ, in points, which scales the colours; the bands use each row's own margin.
        reach: the largest gain, in points, that the colours of the heat map distinguish.
        sources: all sources in order: each has the same colour and shape in every chart.
        counted: the axis title for numbers of labels; see `counted`.
    """
    return {
        "heatmap": heatmap(margin, reach),
        "affinity": affinity(margin, reach),
        "forest": forest(),
        "labels": over_labels(sources, counted),
        "cost": cost("seconds", "front"),
        "all_cost": cost("all_seconds", "all_front"),
        "steps": over_steps(sources),
        "scores": foretold(),
    }


def filled(spec: Spec, rows: list[Mapping[str, Any]]) -> Spec:
    """Return a chart with its data."""
    return {**spec, "data": {"values": rows}}


def _tips(*more: Any) -> list[Any]:
    import altair as alt

    return [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("said:N", title="verdict"),
        alt.Tooltip("shown:N", title="gain"),
        alt.Tooltip("interval:N", title="95 %"),
        alt.Tooltip("baseline:N", title="over"),
        *more,
    ]


def affinity(margin: float, reach: float) -> Spec:
    """Return the map of gains of tasks (rows) by the task beside them (columns)."""
    return heatmap(margin, reach, "target", ("beside", "task"))


def heatmap(
    margin: float,
    reach: float,
    lines: str = "strategy",
    titles: tuple[str | None, str | None] = (None, None),
) -> Spec:
    """Return the map of gains of sources (columns) by strategies (rows), marked by verdict.

    Args:
        margin: see `templates`.
        reach: likewise.
        lines: the field that the rows show.
        titles: the titles above the columns and beside the rows.
    """
    import altair as alt

    x = alt.X("named:N", title=titles[0], sort=alt.EncodingSortField("column", op="min"))
    x = x.axis(orient="top", labelAngle=-30, labelPadding=4, ticks=False, domain=False)
    y = alt.Y(f"{lines}:N", title=titles[1], sort=alt.EncodingSortField("line", op="min"))
    y = y.axis(ticks=False, domain=False, labelPadding=6)
    scale = alt.Scale(
        type="symlog", constant=5 * margin, domain=[-reach, reach], domainMid=0, clamp=True,
        range="diverging", interpolate="rgb",
    )  # fmt: skip
    base = alt.Chart(alt.NamedData("rows")).encode(x, y)
    cells = base.mark_rect(cornerRadius=4, width={"band": 0.97}, height={"band": 0.93}).encode(
        alt.Color("gain:Q", scale=scale, legend=None), tooltip=_tips()
    )
    undecided = alt.datum.verdict == "undecided"
    hatched = base.transform_filter(undecided).mark_point(
        style="hatch", shape=HATCH, size=4 * 27**2, strokeWidth=3, opacity=0.6, filled=False
    )
    text = base.mark_text(style="cell-text", fontSize=12, fontWeight=600)
    text = text.encode(text="cell:N", tooltip=_tips())
    chart = alt.layer(cells, hatched, text)
    chart = chart.transform_calculate(named=PLACEBO_NAMED, cell="datum.mark + ' ' + datum.shown")
    return _spec(chart.properties(width=alt.Step(84), height=alt.Step(30)))


def forest() -> Spec:
    """Return the chart of gains with intervals and the band of no relevance."""
    import altair as alt

    base = alt.Chart(alt.NamedData("rows")).encode(
        alt.Y("arm:N", title=None, sort=alt.EncodingSortField("place", op="min")).axis(
            ticks=False, domain=False, grid=False, labelPadding=6
        )
    )
    band = base.transform_calculate(**BAND).mark_rect(style="band", height={"band": 1})
    band = band.encode(
        x=alt.X("from_:Q", title="gain in points, with 95 % interval").axis(tickCount=6), x2="to_:Q"
    )
    zero = base.transform_calculate(zero_="0").mark_tick(
        style="zero", thickness=1, bandSize=24, opacity=0.7
    ).encode(x="zero_:Q")  # fmt: skip
    colour, shape = _by_verdict()
    line = base.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high:Q"), colour)
    point = base.mark_point(filled=True, size=80, opacity=1).encode(
        alt.X("gain:Q"), colour, shape, tooltip=_tips()
    )
    chart = alt.layer(band, zero, line, point).properties(height=alt.Step(24), width=520)
    return _spec(chart)


def counted(verdicts: Sequence[Verdict]) -> str:
    """Return the axis title for numbers of labels."""
    kinds = {verdict.labels_are for verdict in verdicts}
    told = {"class": "labels a class", "total": "labels in total"}
    return told.get(kinds.pop(), "labels") if len(kinds) == 1 else "labels"


def over_labels(sources: Sequence[str], counted: str, told: Sequence[str] | None = None) -> Spec:
    """Return gains of one strategy over label budgets, a line per source; the legend has `told`."""
    import altair as alt

    x = alt.X("labels:N", title=counted, sort=alt.EncodingSortField("order", op="min"))
    x = x.axis(labelAngle=0, grid=False)
    base = alt.Chart(alt.NamedData("rows"))
    colour, shape = _by_source(sources, told)
    offset = alt.XOffset("source:N")
    band = base.transform_calculate(**BAND)
    band = band.mark_rect(style="band").encode(x, alt.Y("from_:Q"), alt.Y2("to_:Q"))
    band.encoding.x = alt.Undefined
    zero = base.mark_rule(style="zero").encode(y=alt.datum(0))
    error = base.mark_rule(strokeWidth=1.5, opacity=0.55).encode(
        x, alt.Y("low:Q"), alt.Y2("high:Q"), colour, offset
    )
    line = base.transform_filter("!datum.apart").mark_line(strokeWidth=2)
    line = line.encode(x, alt.Y("gain:Q"), colour, offset)
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        x,
        alt.Y("gain:Q", title="gain in points"),
        colour,
        offset,
        shape,
        tooltip=_tips(alt.Tooltip("budget:N", title="labels")),
    )
    return _spec(alt.layer(band, zero, error, line, point).properties(width=260, height=190))


def cost(seconds: str, front: str) -> Spec:
    """Return gain against time, with the Pareto front; `front` is the field of its letters."""
    import altair as alt

    base = alt.Chart(alt.NamedData("rows")).transform_filter(f"datum.{seconds} > 0")
    x = alt.X(
        f"{seconds}:Q", title="seconds a run", scale=alt.Scale(type="log", nice=False, padding=24)
    )
    x = x.axis(grid=False, tickCount=4, format="~s")
    y = alt.Y("gain:Q", title="gain in points", scale=alt.Scale(padding=12))
    zero = base.mark_rule(style="zero").encode(y=alt.datum(0))
    best = base.transform_filter(f"isValid(datum.{front})")
    line = best.mark_line(style="front", interpolate="step-after", strokeDash=[4, 3]).encode(x, y)
    colour, shape = _by_verdict()
    time = alt.Tooltip(f"{seconds}:Q", title="seconds", format=".3~s")
    point = base.mark_point(size=70, opacity=1).encode(x, y, colour, shape, tooltip=_tips(time))
    letters = [
        best.transform_filter(f"indexof('{ascii_lowercase}', datum.{front}) % 2 == {odd}")
        .mark_text(style="cell-text", dx=dx, dy=dy, fontSize=12, fontWeight=600)
        .encode(x, y, text=f"{front}:N")
        for odd, dx, dy in ((0, -4, -12), (1, 10, 11))  # alternating above and below
    ]
    return _spec(alt.layer(zero, line, point, *letters).properties(width=420, height=240))


def over_steps(sources: Sequence[str]) -> Spec:
    """Return validation scores of one strategy over training steps, a line for each source."""
    import altair as alt

    base = alt.Chart(alt.NamedData("rows"))
    x = alt.X("step:Q", title="training steps").axis(grid=False, tickCount=4)
    y = alt.Y("score:Q", title="validation score", scale=alt.Scale(zero=False))
    colour, shape = _by_source(sources)
    tips = [alt.Tooltip("arm:N"), alt.Tooltip("step:Q"), alt.Tooltip("score:Q", format=".4~r")]
    arms = base.transform_filter(alt.datum.who == "arm")
    line = arms.mark_line(strokeWidth=2).encode(x, y, colour)
    point = arms.mark_point(filled=True, size=36, opacity=1).encode(
        x, y, colour, shape, tooltip=tips
    )
    below = base.transform_filter(alt.datum.who == "baseline")
    dashed = below.mark_line(style="front", strokeWidth=2, strokeDash=[5, 4])
    dashed = dashed.encode(x, y, alt.Detail("arm:N"))
    return _spec(alt.layer(dashed, line, point).properties(width=260, height=190))


def foretold() -> Spec:
    """Return the chart of gains against one transferability score."""
    import altair as alt

    base = alt.Chart(alt.NamedData("rows"))
    x = alt.X("value:Q", title="score", scale=alt.Scale(zero=False)).axis(grid=False, tickCount=4)
    zero = base.mark_rule(style="zero").encode(y=alt.datum(0))
    colour, shape = _by_verdict()
    tips = _tips(alt.Tooltip("value:Q", title="score", format=".3~f"))
    y = alt.Y("gain:Q", title="gain in points")
    point = base.mark_point(size=60, opacity=1).encode(x, y, colour, shape, tooltip=tips)
    return _spec(alt.layer(zero, point).properties(width=260, height=190))


def _by_verdict() -> tuple[Any, Any]:
    """Return colour and shape by verdict; the page explains them."""
    import altair as alt

    colour = alt.Color("verdict:N", scale=alt.Scale(domain=KINDS, range="category"), legend=None)
    return colour, alt.Shape("verdict:N", scale=alt.Scale(domain=KINDS, range=SHAPES), legend=None)


def _by_source(sources: Sequence[str], told: Sequence[str] | None = None) -> tuple[Any, Any]:
    """Return colour and shape by source, with one legend for both."""
    import altair as alt

    legend = alt.Legend(
        orient="bottom", title=None, symbolOpacity=1, labelLimit=300, values=list(told or sources)
    )
    names = list(sources)
    colour = alt.Color("source:N", scale=alt.Scale(domain=names, range="ordinal"), legend=legend)
    return colour, alt.Shape("source:N", scale=alt.Scale(domain=names), legend=legend)


def _spec(chart: Any) -> Spec:
    found: Spec = chart.to_dict()
    for key in ("config", "datasets"):
        found.pop(key, None)
    return found
