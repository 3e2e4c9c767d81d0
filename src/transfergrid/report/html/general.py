"""The section on what helps or hurts over several targets."""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.evidence.general import General
from transfergrid.report.html import columns
from transfergrid.report.html.data import Section
from transfergrid.report.tables.columns import HTML, Medium
from transfergrid.report.views import general_view

FIRST = 8
"""The number of arms shown of a folded table."""


def over_targets(found: Sequence[General]) -> Section | None:
    """Return the section with a line for each arm; None if no arm has two targets."""
    if not found:
        return None
    return Section(
        "targets",
        tuple(general_view.tables(found[: columns.MOST_LINES], Medium(HTML))),
        tuple(general_view.counted(found)),
        notes=tuple(general_view.notes(found)),
        first=FIRST,
    )
