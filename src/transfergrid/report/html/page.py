"""The page: the values for its templates, which render it.

Text and tables are static; charts and the sortable table are added by its script.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from transfergrid.evidence.measured.arms import labels_order
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.records.metrics import is_of_numbers
from transfergrid.report.html import charts, rows, themes
from transfergrid.report.html.affinity import affinity_rows
from transfergrid.report.html.answer import answers, counts, listed, scores, summary
from transfergrid.report.html.bundle import compiled, library
from transfergrid.report.html.data import ReportData
from transfergrid.report.html.drawing import templates
from transfergrid.report.html.heat_map import reach
from transfergrid.report.tables.columns import Column, Group, Table
from transfergrid.report.wording.verdict_words import called
from transfergrid.report.wording.words import budget, gains_in

SCRIPTS = ("data.js", "charts.js", "table.js", "theme.js", "start.js")


def page(data: ReportData) -> str:
    """Return the whole report as one self-contained HTML text."""
    given = _of_verdicts(data) if data.verdicts else {}
    drawn = templates().get_template("page.html")
    return drawn.render(data=data, title=data.title or question(data), **given)


def question(data: ReportData) -> str:
    """Return the question that the verdicts answer."""
    targets = list(dict.fromkeys(verdict.target for verdict in data.verdicts))
    on = listed(targets) if len(targets) <= 3 else f"{len(targets)} targets"
    return f"Which source and strategy help on {on or 'the target'}, and which hurt?"


def _of_verdicts(data: ReportData) -> dict[str, Any]:
    """Return the template values that exist only if something is compared."""
    told, sources = answers(data), rows.sources_in_order(data.verdicts, data.called)
    drawn = charts.templates(data.rules.margin, reach(data), sources, charts.counted(data.verdicts))
    return {
        "answers": told,
        "budgets": rows.budgets(data.verdicts),
        "lead": [*summary(data), *scores(data, told), *filter(None, [data.common])],
        "counts": counts(data),
        "filters": _filters(data),
        "plain": _plain(data),
        "units": gains_in(data.verdicts),
        "classes": any(not is_of_numbers(v.metric) for v in data.verdicts),
        "payload": rows.payload(data, compiled(drawn, themes.themes()), affinity_rows(data.pairs)),
        "library": Markup(library()),
        "scripts": SCRIPTS,
    }


def _filters(data: ReportData) -> dict[str, Mapping[str, str]]:
    """Return the filters by name: the displayed text of each value."""
    shown = data.verdicts
    by_budget = sorted(shown, key=lambda verdict: labels_order(verdict.labels))
    sources = rows.source_names(shown, data.called)
    return {
        "target": {v.target: v.target for v in shown},
        "labels": {str(v.labels): budget(v.labels, v.labels_are) for v in by_budget},
        "source": {name: name for name in sorted(set(sources))},
        "strategy": {name: name for name in sorted({v.strategy for v in shown})},
        "verdict": {kind.value: called(kind) for kind in Kind},
    }


def _plain(data: ReportData) -> Table[rows.Named]:
    """Return the comparisons as a table that needs no script."""
    notes = Column[rows.Named]("notes", lambda row: "; ".join(row[1].notes))
    columns = [one.column for one in rows.comparisons(data.verdicts)]
    names = rows.source_names(data.verdicts)
    return Table([*columns, notes], [Group(list(zip(names, data.verdicts, strict=True)))])
