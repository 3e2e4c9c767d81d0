"""Transfer curves of a ledger: what its cells are compared with, and which of them are meant."""

from __future__ import annotations

from transfergrid.evidence import comparisons, declarations, selecting
from transfergrid.evidence.curves.assembly import label_curves, step_curves
from transfergrid.evidence.curves.measures import Axis
from transfergrid.evidence.curves.results import Curve, NoCurve
from transfergrid.evidence.judged import as_declared
from transfergrid.records.ledger import Ledger


def curves_of(
    ledger: Ledger,
    against: Axis = Axis.LABELS,
    threshold: float | None = None,
    exchange: float = 1.0,
    over: str | None = None,
    where: selecting.Where | None = None,
) -> tuple[list[Curve], list[NoCurve]]:
    """Return a ledger's curves, compared as the grids that asked for its cells last declared.

    Args:
        ledger: holds the cells.
        against: labels a class, or steps.
        threshold: the score to reach, in points; by default one is chosen from each pair.
        exchange: how many target labels a label of the source is charged as.
        over: name of an exploratory baseline that takes the primary one's place.
        where: which arms, and of which runs.
    """
    told = declarations.comparisons(declarations.grids_of(ledger))
    records = as_declared(ledger.records(), told)
    records = selecting.selected(records, where or selecting.Where())
    if over is not None:
        records = comparisons.over(records, over)
    if against is Axis.STEPS:
        return step_curves(records, ledger.curves, threshold)
    return label_curves(records, ledger.predictions, threshold, exchange)
