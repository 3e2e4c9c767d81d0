"""The section on hyperparameters that act after training, with a line along each path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from transfergrid.evidence.chosen.paths import Line, Walked, walked
from transfergrid.evidence.measured.arms import display_names, grouped, labels_order
from transfergrid.records.cell import Labels
from transfergrid.records.record import Record
from transfergrid.report.html import columns
from transfergrid.report.html.data import Section
from transfergrid.report.html.lines import drawing
from transfergrid.report.tables.columns import Column

Arm = tuple[str, Labels, str, Walked]
"""Target, label budget, name, and the scores along one path."""
Place = tuple[str, Labels, str, tuple[float, ...]]
"""Target, label budget, hyperparameter and its values: the key of one chart."""
SCORE, LOSS = "validation score", "loss on the training examples"


def along(records: Sequence[Record]) -> Section | None:
    """Return the section on paths; None if no cell chose anything after training."""
    arms = _arms(records)
    if not arms:
        return None
    places: defaultdict[Place, list[Arm]] = defaultdict(list)
    for arm in arms:
        places[(*arm[:2], arm[3].name, arm[3].values)].append(arm)
    pictures = [picture for place, inside in places.items() for picture in _drawn(place, inside)]
    return Section("paths", (columns.limited(_columns(), arms),), pictures=tuple(pictures))


def _arms(records: Sequence[Record]) -> list[Arm]:
    groups = grouped(records)
    called = display_names(groups)
    found = [
        (target, key[1], f"{source or architecture or ''} {strategy}".strip(), path)
        for key, cells in groups.items()
        for source, architecture, strategy, target in [called[key]]
        for path in walked(cells)
    ]
    return sorted(found, key=lambda arm: (arm[0], labels_order(arm[1]), arm[2], arm[3].name))


def _columns() -> list[Column[Arm]]:
    return [
        Column("target", lambda arm: arm[0]),
        Column("labels", lambda arm: str(arm[1])),
        Column("arm", lambda arm: arm[2]),
        Column("setting", lambda arm: arm[3].name),
        columns.count("seeds", lambda arm: arm[3].n),
        Column("tested, in how many seeds", lambda arm: _chosen(arm[3])),
        Column(SCORE, lambda arm: _listed(arm[3], arm[3].validation, 1)),
        Column(LOSS, lambda arm: _listed(arm[3], arm[3].train_loss, 3)),
    ]


def _chosen(path: Walked) -> str:
    return ", ".join(f"{value:g}: {count}" for value, count in path.chosen)


def _listed(path: Walked, line: Line, digits: int) -> str:
    """Return every value with its score or loss; empty if there are none."""
    pairs = zip(path.values, line, strict=True) if line else ()
    return ", ".join(f"{value:g}: {told:.{digits}f}" for value, told in pairs)


def _drawn(place: Place, arms: Sequence[Arm]) -> list[Markup]:
    """Return drawings of the scores for one place, and of the losses of arms without scores."""
    target, labels, name, values = place
    axis = (f"{values[0]:g}", name, f"{values[-1]:g}")
    scored = [(arm[2], arm[3].validation) for arm in arms if arm[3].validation]
    told = {SCORE: (scored, 1)}
    lost = [(arm[2], arm[3].train_loss) for arm in arms if not arm[3].validation]
    told[LOSS] = ([(arm, line) for arm, line in lost if line], 3)
    return [
        drawing(f"{target}, labels={labels}: {what} along {name}", axis, lines, digits)
        for what, (lines, digits) in told.items()
        if lines
    ]
