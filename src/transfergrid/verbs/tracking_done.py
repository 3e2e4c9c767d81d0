"""The verb `track`: send done cells to W&B that were not tracked when they ran."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from transfergrid.evidence.declared.declarations import asking, comparisons, grids_of
from transfergrid.evidence.declared.judged import as_declared
from transfergrid.evidence.measured.selecting import Where
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.records.record import Record
from transfergrid.records.tracking import sent
from transfergrid.records.tracking.sending import sending
from transfergrid.records.tracking.tracker import SafeTracker, Tracker, tracked, unique
from transfergrid.records.tracking.wandb_tracker import MODES, WandbTracker
from transfergrid.runs.run_cards import Curve, kept_curves, run_card, summary_of
from transfergrid.verbs.parser import Parser


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid track [RESULTS] [--where CONDITIONS] [--project P] [--again] ...`."""
    parser = Parser(
        prog="transfergrid track",
        description="Send done cells to W&B as if they had been tracked: configs, curves, scores, "
        "gains. Cells that were sent to the project before are left out.",
    )
    parser.add_ledger()
    parser.add_argument("--project", default=WandbTracker.project, help="the W&B project")
    parser.add_argument("--entity", help="user or team; your default if left out")
    parser.add_argument("--mode", default="auto", help=", ".join(MODES))
    parser.add_argument("--again", action="store_true", help="those that were sent before, too")
    chosen = parser.parse_args(arguments)
    tracker = WandbTracker(chosen.project, chosen.entity, chosen.mode)
    return send(Ledger(chosen.results), tracker, Where.parse(chosen.where), chosen.again)


def send(ledger: Ledger, tracker: WandbTracker, where: Where, again: bool = False) -> int:
    """Send a ledger's cells and return the exit code, 1 if some could not be sent.

    Raises:
        BadInputError: there is no ledger here, no cell is selected, or W&B is disabled.
    """
    place = tracker.place
    if place is None:
        raise BadInputError("W&B is disabled (--mode or WANDB_MODE): nothing can be sent")
    grids = grids_of(ledger)
    told, asked_by = comparisons(grids), asking(grids)
    meant = where.rows(as_declared(ledger.records(), told))
    before = set() if again else sent.to(ledger.root, place)
    left = [record for record in meant if record.id not in before]
    safe, count = SafeTracker(tracker), 0
    with sending(tracker, ledger.root) as arrived:
        for record in left:
            _send(record, ledger, safe, asked_by.get(record.id), again)
            if safe.place:
                sent.note(ledger.root, record.id, place)
                count += 1
    earlier = len(meant) - len(left)
    rest = f"; {earlier} sent before (--again sends them too)" if earlier else ""
    say(f"sent {count} of {len(left)} cells to {place}{rest}")
    return 0 if count == len(left) and not arrived.kept else 1


def _send(record: Record, ledger: Ledger, tracker: Tracker, grid: str | None, again: bool) -> None:
    card = run_card(replace(record, grid=grid), ledger)
    if again:  # under a new id: the project refuses ids of deleted runs
        card = replace(card, id=unique(card.id))
    with tracked(tracker, card) as summary:
        curve = Curve(tracker)
        with suppress(BadInputError):  # damaged curves are skipped: the record has the scores
            for values, step in kept_curves(record, ledger):
                curve(values, step)
        summary.update(summary_of(record, ledger))
