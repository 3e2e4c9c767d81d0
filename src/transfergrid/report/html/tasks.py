"""The section on tasks that were learned beside others, or before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from transfergrid.evidence.several.affinity import Pair
from transfergrid.evidence.several.each_task import ALONE
from transfergrid.evidence.several.forgetting import Forgotten
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.html import columns
from transfergrid.report.html.data import Section
from transfergrid.report.tables.columns import Table
from transfergrid.report.views import forgetting_view, tasks_view
from transfergrid.report.wording.verdict_words import SAID
from transfergrid.report.wording.words import UNICODE, number, plural

CHAINS = (
    "What chains forgot: mean test score of each task after each stage, and the points lost since "
    "it was learned itself (below zero: gained), with the uncorrected 95 % interval over seeds. "
    "Networks kept of each stage were scored once, after every choice: no choice depends on it."
)


def each(
    found: Sequence[Verdict], pairs: Sequence[Pair], forgotten: Sequence[Forgotten]
) -> Section | None:
    """Return the section with the gain of each task, the matrix of pairs, and forgetting.

    Args:
        found: a verdict on each task; without any there is no section.
        pairs: the pairs of jointly learned tasks.
        forgotten: what chains forgot, at each stage.
    """
    if not found:
        return None
    tables: list[Table[Any]] = [columns.limited(tasks_view.task_columns(UNICODE), found)]
    if forgotten:
        table = columns.limited(forgetting_view.forgetting_columns(UNICODE), forgotten)
        tables.append(replace(table, title=" ".join(filter(None, (CHAINS, table.title)))))
    lonely = tasks_view.lonely(found)
    return Section(
        "tasks",
        tuple(tables),
        tuple(filter(None, (*map(_counted, _by_role(found)), _lost(forgotten)))),
        notes=(lonely,) if lonely else (),
        chart="affinity" if pairs else "",
    )


def _lost(forgotten: Sequence[Forgotten]) -> str:
    """Return a sentence with the range of what chains forgot."""
    lost = [line.forgotten for line in forgotten if line.forgotten is not None]
    if not lost:
        return ""
    least, most = (number(end, "%") for end in (min(lost), max(lost)))
    told = least if least == most else f"{least} to {most}"
    return f"Chains forgot {told} points of a task; the last table says of which, and by when."


def _by_role(found: Sequence[Verdict]) -> list[tuple[str, list[Verdict]]]:
    """Return the verdicts on the tasks of targets, and on those of sources."""
    return [
        ("target", [verdict for verdict in found if verdict.reference != ALONE]),
        ("source", [verdict for verdict in found if verdict.reference == ALONE]),
    ]


def _counted(role: tuple[str, Sequence[Verdict]]) -> str:
    """Return a sentence that counts the verdicts on the tasks of targets, or of sources."""
    judged = [verdict.verdict for verdict in role[1] if verdict.n]
    if not judged:
        return ""
    kinds = Counter(judged)
    told = ", ".join(f"{kinds[kind]} {SAID[kind]}" for kind in Kind if kinds[kind])
    return f"Of {plural(len(judged), 'gain')} of a {role[0]}'s task: {told}."
