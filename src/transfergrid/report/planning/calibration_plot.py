"""The plot of a calibration: false alarms by number of seeds, and detected gains by size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfergrid.evidence.calibration.planted import Scenario
from transfergrid.evidence.calibration.rates import Plan, Rate
from transfergrid.evidence.calibration.rules import OURS, RULES
from transfergrid.records.errors import BadInputError, writing
from transfergrid.report.planning.calibration_table import name_of

ENDINGS = (".svg", ".png", ".html")
SHOWN = [name for name in RULES if name != "mean differs"]  # it is always wrong
COLOURS = ["#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#7f7f7f"]
"""The colours of Okabe and Ito, distinguishable for colour-blind readers; lines differ in dashes as
well."""
DEEPER = ["#9ecae1", "#4292c6", "#08519c", "#041f3d", "#7f7f7f", "#000000"]
SIZE = {"width": 190, "height": 220}  # pixels


def save(rates: Sequence[Rate], plan: Plan, path: str | Path) -> None:
    """Save a plot of the rates to a file.

    Raises:
        BadInputError: the file's ending is not supported, or it cannot be written.
    """
    place = Path(path)
    check_place(place)
    sharper = {"scale_factor": 2} if place.suffix == ".png" else {}
    with writing(place):
        chart(rates, plan).save(place, **sharper)


def check_place(path: Path) -> None:
    """Raise `BadInputError` unless the file's ending is supported and its folder exists."""
    if path.suffix not in ENDINGS:
        raise BadInputError(f"--plot takes a file that ends in {', '.join(ENDINGS)}: {path}")
    if not path.parent.is_dir():
        raise BadInputError(f"cannot write '{path}': there is no folder '{path.parent}'")


def chart(rates: Sequence[Rate], plan: Plan) -> Any:
    """Return the figure: false alarms of all rules above, detections by the verdict below."""
    import altair as alt

    above = [_false_alarms(alt, rates, scenario) for scenario in plan.scenarios]
    below = [_found(alt, rates, scenario) for scenario in plan.scenarios if _has_power(scenario)]
    rows = [alt.hconcat(*panels) for panels in (above, below) if panels]
    return alt.vconcat(*rows).resolve_scale(color="independent", strokeDash="independent")


def _has_power(scenario: Scenario) -> bool:
    return scenario is not Scenario.COLLAPSE_ONLY


def _false_alarms(alt: Any, rates: Sequence[Rate], scenario: Scenario) -> Any:
    rows: list[dict[str, Any]] = [
        {"rule": r.rule, "seeds": r.seeds, "%": 100 * r.false}
        | {"low": 100 * r.false_low, "high": 100 * r.false_high}
        for r in rates
        if r.scenario is scenario and r.rule in SHOWN and r.gain <= 0
    ]
    whole = alt.Axis(values=sorted({row["seeds"] for row in rows}), format="d")
    nominal = alt.Chart(alt.Data(values=[{"y": 5}])).mark_rule(color="#555", strokeDash=[2, 2])
    lines = _lines(alt, rows, alt.X("seeds:Q", axis=whole), "rule:N", SHOWN, COLOURS)
    title = f"False verdicts: {name_of(scenario)}"
    return alt.layer(*lines, nominal.encode(y="y:Q")).properties(title=title, **SIZE)


def _found(alt: Any, rates: Sequence[Rate], scenario: Scenario) -> Any:
    rows: list[dict[str, Any]] = [
        {"seeds": r.seeds, "gain": r.gain, "%": 100 * r.found}
        | {"low": 100 * (r.found_low or 0), "high": 100 * (r.found_high or 0)}
        for r in rates
        if r.scenario is scenario and r.rule == OURS and r.found is not None
    ]
    seeds = sorted({row["seeds"] for row in rows})
    lines = _lines(alt, rows, alt.X("gain:Q", title="true gain"), "seeds:O", seeds, DEEPER)
    title = f"Found by the verdict: {name_of(scenario)}"
    return alt.layer(*lines).properties(title=title, **SIZE)


def _lines(
    alt: Any, rows: list[dict[str, Any]], x: Any, by: str, domain: list[Any], colours: list[str]
) -> Any:
    """Return lines with points, and bars for the intervals of the simulation."""
    scale = alt.Scale(domain=domain, range=colours[: len(domain)])
    legend = alt.Legend(symbolType="stroke", symbolSize=400, symbolStrokeWidth=2.5)
    colour = alt.Color(by, scale=scale, legend=legend)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=colour)
    y = alt.Y("%:Q", title="% of simulations", scale=alt.Scale(domain=[0, 100]))
    dash = alt.StrokeDash(by, scale=alt.Scale(domain=domain), legend=legend)  # shared legend
    bars = base.mark_rule().encode(y=alt.Y("low:Q", title="% of simulations"), y2="high:Q")
    return base.mark_line(point=True).encode(y=y, strokeDash=dash), bars
