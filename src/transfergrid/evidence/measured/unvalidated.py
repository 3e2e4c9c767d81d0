"""How strategies that tune a setting themselves chose it where there is no validation part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from transfergrid.evidence.measured.results import Result
from transfergrid.records.cell import Labels
from transfergrid.records.errors import BadInputError
from transfergrid.records.keeping import can_validate
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record

BY = "chosen_by_"
"""The prefix of the key in which a strategy records how it chose without a validation part, as in
`chosen_by_leaving_one_out`."""


@dataclass(frozen=True)
class Unvalidated:
    """A setting that a strategy chose in cells without validation.

    Attributes:
        strategy: its name in the cells.
        setting: the strategy's argument.
        value: the default that was taken instead of choosing; None if it was chosen all the same.
        by: how it was chosen, in words, as in "leaving one out"; empty if the default was taken.
    """

    strategy: str
    setting: str
    value: float | None = None
    by: str = ""


Place = tuple[Labels, str]
"""A label budget, and the target if it is the target that lacks a validation part."""


def unvalidated(ledger: Ledger, results: Iterable[Result]) -> dict[Place, list[Unvalidated]]:
    """Return, by place, the settings that strategies had to choose there, and their choices.

    Only the records contain this; one record is read for each strategy at each place.

    Args:
        ledger: the ledger with the records.
        results: the results of the selected cells.
    """
    without = (one for one in results if one.validation_score is None)
    first = {(_place(one), one.parts.strategy): one.id for one in without}
    found: defaultdict[Place, list[Unvalidated]] = defaultdict(list)
    for (place, _), identity in first.items():
        with suppress(BadInputError):  # the index still has its result
            found[place] += _settings(ledger.read(identity))
    return {
        place: sorted(set(settings), key=lambda one: (one.strategy, one.setting, one.value or 0.0))
        for place, settings in found.items()
        if settings
    }


def _place(cell: Result) -> Place:
    return cell.labels, cell.names.target if can_validate(cell.labels) else ""


def _settings(record: Record) -> Iterator[Unvalidated]:
    strategy, given = record.names.strategy, record.config.get("strategy") or {}
    for path in record.chosen.paths if record.chosen else ():
        if not path.validation and given.get(path.name) is None:  # validation was to choose it
            yield Unvalidated(strategy, path.name, path.chosen)
    ways = [key for key, is_so in record.told.items() if key.startswith(BY) and is_so is True]
    chosen = [name for name, value in record.told.items() if type(value) in (int, float)]
    for how in (key.removeprefix(BY).replace("_", " ") for key in ways):
        yield from (Unvalidated(strategy, name, by=how) for name in chosen)
