"""The section on tuning: the expected best of k settings, arm by arm, in one chart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from transfergrid.evidence.chosen.best_of import Tried, tried
from transfergrid.evidence.measured.arms import display_names, grouped, labels_order
from transfergrid.evidence.measured.results import AnyCell
from transfergrid.records.cell import Labels
from transfergrid.records.record import Record
from transfergrid.report.html import columns
from transfergrid.report.html.data import Section
from transfergrid.report.html.lines import drawing
from transfergrid.report.tables.columns import Align, Column

Arm = tuple[str, Labels, str, Tried]
"""Target, label budget, name, and the gain from more trials."""


def tuning(records: Sequence[Record]) -> Section | None:
    """Return the section on tuning; None if no cell searched for settings."""
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
    """Return a drawing of the curves of one target and label budget, each named at its end."""
    title = f"{place[0]}, labels={place[1]}: expected validation score of the best of k trials"
    most = max(len(told.curve) for *_, told in arms)
    return drawing(title, ("1", "k", str(most)), [(name, told.curve) for *_, name, told in arms])
