"""The side views of a ledger's verdicts, by name."""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.evidence.chosen.oracle_gap import RuleGap, gaps_of
from transfergrid.evidence.chosen.scorecard import ScorecardRow, scorecard_of
from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.general import generally
from transfergrid.evidence.measured.parts import By, part_gains
from transfergrid.evidence.several.each_task import ALONE, each_task
from transfergrid.evidence.several.forgetting import forgetting
from transfergrid.evidence.several.source_shares import source_shares
from transfergrid.evidence.side_effects import SideEffects, side_effects
from transfergrid.evidence.verdicts.families import RulesOf, family_of
from transfergrid.evidence.verdicts.robustness import flips
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.origins import knows_its_task
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views import (
    forgetting_view,
    general_view,
    rules_view,
    scorecard_view,
    source_view,
    tasks_view,
    verdict_views,
)

SIDES = (
    *("flips", "classes", "groups", "beside", "scores", "rules", "sources", "tasks"),
    *("forgetting", "targets"),
)


def side(
    name: str,
    bench: Bench,
    verdicts: Sequence[Verdict],
    rules: RulesOf,
    over: str | None = None,
) -> Sheet:
    """Return a side view: flips, gains within parts, side effects, general statements, and so on.

    The views "sources" and "tasks" show new verdicts, and are recorded as looks.

    Args:
        name: one of `SIDES`.
        bench: the bench, without the runs that are not selected.
        verdicts: its verdicts.
        rules: the rules that decided them.
        over: the exploratory baseline of the verdicts; None for the primary ones.

    Raises:
        BadInputError: there is no such view, or no target has groups.
    """
    check_known("--show", name, ("verdicts", *SIDES))
    if name == "flips":
        levels = bench.levels(rules)
        flipped = flips(bench.results, verdicts, bench.outcomes, rules, levels, over)
        return verdict_views.flips(flipped)
    if name == "beside":
        return verdict_views.beside(effects_of(bench, verdicts))
    if name == "sources":
        shares = source_shares(bench, verdicts, rules)
        bench.note_look([share.less for share in shares], "sources")
        return source_view.shares(shares)
    if name == "tasks":
        found = each_task(bench, verdicts, rules)
        bench.note_look([one for one in found if one.reference == ALONE], "tasks")
        return tasks_view.tasks(found, chained=bool(forgetting(bench, verdicts)))
    if name == "forgetting":
        return forgetting_view.forgetting(forgetting(bench, verdicts))
    if name == "targets":
        return general_view.general(generally(bench, verdicts))
    if name == "scores":
        return scorecard_view.scores(*scorecards_of(bench, verdicts))
    if name == "rules":
        return rules_view.rules(gaps_in(bench))
    by: By = "class" if name == "classes" else "group"
    return verdict_views.parts(parts_of(bench, verdicts, by, rules))


def parts_of(bench: Bench, verdicts: Sequence[Verdict], by: By, rules: RulesOf) -> list[Verdict]:
    """Return the gains within classes or groups, comparison by comparison.

    Raises:
        BadInputError: no comparison can be split into parts.
    """
    found: list[Verdict] = []
    why = "no verdicts"
    for verdict in verdicts:
        if verdict.n:
            try:
                found += parts_in(bench, verdict, by, rules)
            except BadInputError as error:
                why = str(error)
    if not found:
        raise BadInputError(why)
    return found


def parts_in(bench: Bench, verdict: Verdict, by: By, rules: RulesOf) -> list[Verdict]:
    """Return the gains within classes or groups of one comparison.

    Raises:
        BadInputError: the comparison cannot be split into parts.
    """
    record = bench.records.get(verdict.cells[0]) if verdict.cells else None
    classes, decided_by = record.data.classes if record else (), rules(family_of(verdict))
    return part_gains(verdict, bench.outcomes, by, classes, decided_by, verdict.level)


def effects_of(bench: Bench, verdicts: Sequence[Verdict]) -> list[SideEffects]:
    """Return the side effects of each gain."""
    by_id = {result.id: result for result in bench.results}
    return [side_effects(verdict, by_id, _forgotten(bench, verdict)) for verdict in verdicts]


def scorecards_of(
    bench: Bench, verdicts: Sequence[Verdict]
) -> tuple[list[ScorecardRow], list[ScorecardRow]]:
    """Return how well each stored score predicted the gains, without and with placebos.

    Raises:
        BadInputError: no scores are stored for these sources.
    """
    kept = bench.ledger.root
    found = scorecard_of(kept, verdicts), scorecard_of(kept, verdicts, placebos=True)
    if not found[1]:
        raise BadInputError(
            f"no scores are kept of these sources: transfergrid rank --results {kept} computes them"
        )
    return found


def gaps_in(bench: Bench) -> list[RuleGap]:
    """Return the loss of each rule that chooses without target labels, relative to the oracle.

    Raises:
        BadInputError: no cell has oracle looks.
    """
    found = gaps_of(bench.records.values())
    if not found:
        raise BadInputError(
            "no run has looked at the test part beside its rules: training.oracle=true does, at "
            "labels=0"
        )
    return found


def _forgotten(bench: Bench, verdict: Verdict) -> dict[str, tuple[float, float]]:
    """Return each cell's linear probe accuracy on the source task, before and after.

    Only cells are included that started from weights that had learned that task.
    """
    found = {}
    for identity in verdict.cells if verdict.source else ():
        record = bench.records.get(identity)
        noted = record.diagnostics if record and knows_its_task(record) else None
        lost = noted.forgetting if noted else None
        if lost and lost.before is not None and lost.after is not None:
            found[identity] = (lost.before.linear, lost.after.linear)
    return found
