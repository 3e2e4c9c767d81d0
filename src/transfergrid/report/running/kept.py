"""Messages on the weights that a grid keeps, before it runs and when it has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from transfergrid.records import printing
from transfergrid.records.cell import Cell
from transfergrid.records.keeping import Keeper, can_be_chosen, estimated, has_model, model_folder
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.report.tables.layout import wrapped
from transfergrid.report.wording.words import plural

MAKES_THEM = "transfergrid reproduce CELL --keep"
WIDTH = 80
SHORT_ID = 8
"""The number of digits shown of a cell's id: enough for a unique prefix among millions of cells."""


def size(count: float) -> str:
    """Return a number of bytes in a readable unit."""
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if count >= one:
            return f"{count / one:.{0 if count >= 10 * one else 1}f} {unit}"
    return f"{max(1, round(count / 1e3))} kB"


def say(lines: Iterable[str]) -> None:
    """Print lines, wrapping long ones."""
    for line in lines:
        printing.say("\n".join(wrapped(line, WIDTH, whole_words=True)), flush=True)


def planned(
    keeper: Keeper, left: Sequence[Cell], done: set[str], measured: Mapping[str, int]
) -> list[str]:
    """Return lines on the models that will be kept and the disk space they take.

    Args:
        keeper: the keeper of the whole grid.
        left: the cells to run.
        done: ids of the cells that were done before.
        measured: see `estimated`.
    """
    if keeper.keep == "none":
        return []
    sizes = estimated(keeper.cells, measured)
    return _best(keeper, left, sizes) if keeper.keep == "best" else _all(keeper, left, done, sizes)


def _all(
    keeper: Keeper, left: Sequence[Cell], done: set[str], sizes: Mapping[str, int]
) -> list[str]:
    lines = []
    if left:
        disk = size(sum(sizes[cell.id] for cell in left))
        lines.append(f"keeps {plural(len(left), 'model')}, about {disk}")
    bare = sum(not has_model(keeper.ledger, identity) for identity in done)
    if bare:
        have = "has none and is" if bare == 1 else "have none and are"
        makes = f"{MAKES_THEM} makes the weights of one"
        lines.append(f"{plural(bare, 'cell')} done before {have} not run again: {makes}")
    return lines


def _best(keeper: Keeper, left: Sequence[Cell], sizes: Mapping[str, int]) -> list[str]:
    lines = []
    coming = {cell.id for cell in left}
    groups = [members for members in keeper.groups.values() if coming & set(members)]
    if groups:
        disk = size(sum(max(sizes[name] for name in members) for members in groups))
        kept = plural(len(groups), "model")
        which = "the best by validation of each target, label budget and training"
        lines.append(f"keeps {kept}, at most about {disk}: {which}")
    budgets = sorted(
        {str(cell.labels) for cell in keeper.cells if not can_be_chosen(cell)}, key=int
    )
    if budgets:
        lines.append(f"keeps none at labels={','.join(budgets)}: no validation part to choose by")
    return lines


def ended(keeper: Keeper) -> list[str]:
    """Return lines that name the kept models of a grid."""
    ledger = keeper.ledger
    if keeper.keep == "none":
        return []
    kept = [cell for cell in keeper.cells if has_model(ledger, cell.id)]
    disk = size(sum(_bytes(ledger, cell.id) for cell in kept))
    lines = [f"{plural(len(kept), 'model')} kept, {disk}; transfergrid list cells names them"]
    if keeper.keep == "best":
        lines = [f"kept {cell.id[:SHORT_ID]}: {cell.label}" for cell in kept]
    lines += [_missed(record) for record in keeper.missed()]
    return lines


def _missed(record: Record) -> str:
    short = record.id[:SHORT_ID]
    return (
        f"better by validation, and done before without being kept: {short}; "
        f"{MAKES_THEM.replace('CELL', short)} makes its weights"
    )


def _bytes(ledger: Ledger, identity: str) -> int:
    return sum(file.lstat().st_size for file in model_folder(ledger, identity).iterdir())
