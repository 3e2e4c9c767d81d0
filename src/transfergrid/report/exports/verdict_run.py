"""The tracker run that closes a grid: the table of verdicts, heat maps, counts and an alert."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.verdict import COLUMNS, TRANSFER, Verdict
from transfergrid.records.errors import BadInputError, as_line
from transfergrid.records.factory import Config, build
from transfergrid.records.identity import group_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.tracking.tracker import (
    Exhibit,
    NoTracker,
    RunCard,
    SafeTracker,
    tracked,
    unique,
    warn,
)
from transfergrid.report.html import heat_map
from transfergrid.report.html.data import ReportData
from transfergrid.report.wording import verdict_words, words

TABLE, HEAT_MAP = "verdicts", "heat_map"
"""Keys of the table and of the heat maps, one for each target and label budget."""
COUNT = "count/"
"""The key prefix of the counts of verdicts by kind, and of cells."""
MORE = (
    *("kind", "primary", "family", "family_size", "metric", "unit", "training", "scope"),
    *("mean", "baseline_mean", "validation", "margin", "beyond_margin", "fragile"),
    *("one_checkpoint", "weak_baseline", "contaminated_by", "failed", "collapsed", "underfit"),
    *("items", "items_floor", "seconds", "source_seconds"),
    *("harm_ruled_out", "gain_ruled_out", "p_harm", "p_gain", "unseen_bad_seed_rate_95"),
    *("break_rate", "collapse_rate_95", "breaks_by_baseline"),
    *("seeds_needed_low", "seeds_needed_high", "seeds_for_harm", "constant"),
)
"""The fields of a verdict that the table shows in addition to `COLUMNS`."""
MOST_PICTURES = 24
SCALE = 2
"""Pixels of the picture per pixel of the chart."""
MOST_NAMED = 20
"""The largest number of arms named in an alert; further ones are counted."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the tracker is told of a grid besides its verdicts.

    Args:
        id: the grid's id.
        study: the study's name, if it has one.
        declaration: digest of the declaration.
        cells: number of its cells.
        failed: number of its failed cells.
    """

    id: str
    study: str | None = None
    declaration: str | None = None
    cells: int = 0
    failed: int = 0


def report_verdicts(
    verdicts: Sequence[Verdict], tracking: Config, ledger: Ledger, grid: Judged
) -> None:
    """Report one look at a grid's verdicts to the tracker, as a run of its own; never raises.

    Args:
        verdicts: all verdicts, including placebos and exploratory baselines; if all are about
            single seeds, nothing is reported.
        tracking: the tracker's config.
        ledger: the ledger with the cells.
        grid: the grid of the verdicts.
    """
    try:
        tracker = build(tracking)
        if any(v.n > 1 for v in verdicts) and not isinstance(tracker, NoTracker):
            _report(verdicts, SafeTracker(tracker), ledger, grid)
    except Exception as error:  # the verdicts are stored and shown anyway
        warn(f"verdicts are not tracked: {type(error).__name__}: {as_line(error)}")


def _report(
    verdicts: Sequence[Verdict], tracker: SafeTracker, ledger: Ledger, grid: Judged
) -> None:
    with tracked(tracker, run_card(verdicts, ledger, grid)) as summary:
        tables = {TABLE: table(verdicts, ledger)}
        tracker.show(Exhibit(tables, _pictures(verdicts), alert(verdicts)))
        summary.update(summary_of(verdicts, grid))


def run_card(verdicts: Sequence[Verdict], ledger: Ledger, grid: Judged) -> RunCard:
    """Return the run card of a look; every look has a new id."""
    name = grid.study or grid.id
    kinds = {"source": "sources", "strategy": "strategies", "target": "targets"}
    names = {
        plural: sorted({str(getattr(v, key)) for v in verdicts if getattr(v, key)})
        for key, plural in {**kinds, "baseline": "baselines"}.items()
    }
    told = {"study": grid.study, "grid": grid.id, "declaration": grid.declaration}
    seeds = sorted({seed for verdict in verdicts for seed in verdict.seeds})
    return RunCard(
        id=unique(f"verdict-{grid.id}"),
        name=f"verdicts {name}",
        group=name,
        job_type="verdict",
        tags=(grid.study,) if grid.study else (),
        config={**told, "margin": verdicts[0].margin, "seeds": seeds, **names},
        results=ledger.root,
    )


def table(verdicts: Sequence[Verdict], ledger: Ledger) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows; `group` is the W&B group of the cells' runs, None if unknown."""
    columns = [*COLUMNS, *MORE]
    rows = [
        [_group(verdict, ledger), *(_plain(name, getattr(verdict, name)) for name in columns)]
        for verdict in verdicts
    ]
    return ["group", *columns], rows


def _group(verdict: Verdict, ledger: Ledger) -> str | None:
    if not verdict.cells:
        return None
    try:
        record = ledger.read(verdict.cells[0])
    except BadInputError:
        return None
    return group_of(record.names, record.labels, record.parts)


def _plain(name: str, value: Any) -> Any:
    """Return a value as a table accepts it: one type per column."""
    if name in ("labels", "verdict"):
        return str(value)
    return "; ".join(value) if isinstance(value, tuple) else value


def summary_of(verdicts: Sequence[Verdict], grid: Judged) -> dict[str, Any]:
    """Return the counts of verdicts: transfer over primary baselines, without placebos."""
    told = verdict_words.headline(verdicts)
    kinds = Counter(verdict.verdict for verdict in told)
    counts = {kind.key: kinds[kind] for kind in Kind}
    counts |= {"comparisons": len(told), "cells": grid.cells, "failed": grid.failed}
    return {
        **{COUNT + name: count for name, count in counts.items()},
        "headline": verdict_words.summary(verdicts),
        "declaration": grid.declaration,
    }


def proven_negative(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return proven negative transfer, the worst first: no placebos, primary baselines only."""
    found = [
        verdict
        for verdict in verdicts
        if verdict.verdict is Kind.NEGATIVE and verdict.kind == TRANSFER and verdict.primary
    ]
    return sorted(found, key=lambda verdict: verdict.gain or 0.0)


def alert(verdicts: Iterable[Verdict]) -> tuple[str, str] | None:
    """Return title and text of the one alert on negative transfer; None if none is proven."""
    found = proven_negative(verdicts)
    if not found:
        return None
    lines = [_line(verdict) for verdict in found[:MOST_NAMED]]
    if len(found) > MOST_NAMED:
        lines.append(f"and {len(found) - MOST_NAMED} more")
    return f"Negative transfer is proven for {words.plural(len(found), 'arm')}", "\n".join(lines)


def _line(verdict: Verdict) -> str:
    arm = f"{verdict_words.source(verdict)} x {verdict.strategy} on {verdict.target}"
    of = "points" if verdict.unit else verdict.metric
    gain = f"{verdict_words.gain(verdict)} {verdict_words.interval(verdict)} {of}"
    p = f"p {verdict_words.p_value(verdict.p_corrected)} corrected"
    return f"{arm}, {words.labels_of([verdict])}: {gain} over {verdict.baseline}, {p}"


def _pictures(verdicts: Sequence[Verdict]) -> dict[str, list[tuple[str, bytes]]]:
    try:
        return {HEAT_MAP: heat_maps(verdicts)}
    except Exception as error:  # a library is missing or too old: the table is sent anyway
        warn(f"no heat map of the verdicts: {type(error).__name__}: {error}")
        return {}


def heat_maps(verdicts: Sequence[Verdict]) -> list[tuple[str, bytes]]:
    """Return heat maps of gains over primary baselines, source by strategy.

    Returns:
        A caption and a PNG for each target and label budget, the first `MOST_PICTURES` of them; all
        have the same size, as W&B requires.
    """
    shown = [verdict for verdict in verdicts if verdict.primary and verdict.gain is not None]
    if not shown:
        return []
    data = ReportData(verdicts=tuple(shown), rules=Rules(margin=shown[0].margin))
    drawn = list(islice(heat_map.heat_maps(data), MOST_PICTURES))
    pictures = _of_one_size([figure.png(SCALE) for figure in drawn])
    return [(figure.title, png) for figure, png in zip(drawn, pictures, strict=True)]


def _of_one_size(pictures: Sequence[bytes]) -> list[bytes]:
    """Return PNGs padded with white, right and below, to the size of the largest."""
    from PIL import Image

    opened = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    size = (max((p.width for p in opened), default=0), max((p.height for p in opened), default=0))
    return [_on_white(picture, size) for picture in opened]


def _on_white(picture: Any, size: tuple[int, int]) -> bytes:
    from PIL import Image

    canvas, file = Image.new("RGB", size, "white"), io.BytesIO()
    canvas.paste(picture, (0, 0))
    canvas.save(file, "PNG")
    return file.getvalue()
