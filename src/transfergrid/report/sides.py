"""The side views of a ledger's verdicts, each by its name."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from transfergrid.errors import BadInputError, check_known
from transfergrid.evidence.decisions import Rules
from transfergrid.evidence.judged import Bench
from transfergrid.evidence.parts import By, PartGain, part_gains
from transfergrid.evidence.robustness import flips
from transfergrid.evidence.side_effects import SideEffects, side_effects
from transfergrid.evidence.verdicts import Verdict
from transfergrid.report import verdict_views

SIDES = ("flips", "classes", "groups", "beside")


def side(
    name: str,
    bench: Bench,
    verdicts: Sequence[Verdict],
    rules: Rules,
    format: str = "table",
    width: int = 80,
) -> str:
    """Return what flips the verdicts, what hides in their parts, or what came with them.

    Raises:
        BadInputError: there is no such view, or no target has groups.
    """
    check_known("--show", name, ("verdicts", *SIDES))
    if name == "flips":
        found = flips(bench.results, verdicts, bench.outcomes, rules, bench.levels(rules.alpha))
        text, how = verdict_views.flips(found, format, width), verdict_views.flips_legend()
        text = text or "No verdict flips.\n"
    elif name == "beside":
        text = verdict_views.beside(effects_of(bench, verdicts), format, width)
        how = verdict_views.BESIDE
    else:
        by: By = "class" if name == "classes" else "group"
        text = verdict_views.parts(parts_of(bench, verdicts, by, rules), format, width)
        how = verdict_views.PARTS
    if format in ("json", "csv"):
        return text
    lines = [how] if format == "markdown" else textwrap.wrap(how, width, subsequent_indent="    ")
    return text + "\n" + "\n".join(lines) + "\n"


def parts_of(
    bench: Bench, verdicts: Sequence[Verdict], by: By, rules: Rules
) -> list[tuple[Verdict, PartGain]]:
    """Return the gains within classes or groups, comparison by comparison.

    Raises:
        BadInputError: nothing can be taken apart.
    """
    found, why = [], "no verdicts"
    for verdict in verdicts:
        if not verdict.n:
            continue
        classes = bench.ledger.read(verdict.cells[0]).data.classes
        try:
            inside = part_gains(verdict, bench.outcomes, by, classes, rules)
        except BadInputError as error:
            why = str(error)
            continue
        found += [(verdict, part) for part in inside]
    if not found:
        raise BadInputError(why)
    return found


def effects_of(bench: Bench, verdicts: Sequence[Verdict]) -> list[SideEffects]:
    """Return what came with each gain."""
    by_id = {result.id: result for result in bench.results}
    return [side_effects(verdict, by_id, _forgotten(bench, verdict)) for verdict in verdicts]


def _forgotten(bench: Bench, verdict: Verdict) -> dict[str, tuple[float, float]]:
    """Return each cell's accuracy by a linear probe on the source task, before and after."""
    found = {}
    for identity in verdict.cells if verdict.source else ():
        noted = bench.ledger.read(identity).diagnostics
        lost = noted.forgetting if noted else None
        if lost and lost.before is not None and lost.after is not None:
            found[identity] = (lost.before.linear, lost.after.linear)
    return found
