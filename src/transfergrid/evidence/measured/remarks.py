"""Notes on the data of an arm, merged from its cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from transfergrid.evidence.measured.arms import Key, grouped
from transfergrid.evidence.measured.results import AnyCell, Cell
from transfergrid.records.ledgers.index import remarked
from transfergrid.records.record import Data, Record


@dataclass(frozen=True, kw_only=True)
class Remarks:
    """The notes on an arm's data, which only records contain."""

    short: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Classes with fewer labels than requested: (requested, fewest got)."""
    cut_texts: int = 0
    """Number of the target's texts that were truncated because they were longer than the model's
    input."""
    copies: dict[str, int] = field(default_factory=dict)
    """Counts of test examples with copies in the training data; see `copy_counts`."""
    no_validation: str | None = None
    """Why there was no validation although there were enough labels for it: the last step was
    kept."""
    untested: tuple[str, ...] = ()
    """Classes without any test example: means over classes leave them out."""
    pair: str = ""
    """The special relation of source domain and target, if any, such as "partial"."""

    @classmethod
    def of(cls, cells: Sequence[Data]) -> Remarks:
        """Return the merged notes of one arm's cells."""
        return cls(
            short=short_classes(cells),
            cut_texts=_cut_texts(cells),
            copies=copy_counts(cells),
            no_validation=_no_validation(cells),
            untested=_untested(cells),
            pair=_pair(cells),
        )


def by_arm(cells: Iterable[Cell]) -> dict[Key, Remarks]:
    """Return the notes on each arm; arms without any note are left out."""
    telling = [cell for cell in cells if data_of(cell) is not _NO_DATA]
    return {key: Remarks.of(list(map(data_of, arm))) for key, arm in grouped(telling).items()}


def data_of(cell: AnyCell) -> Data:
    """Return a cell's notes on its data; of a result, those that the index keeps."""
    return cell.data if isinstance(cell, Record) else remarked(cell.remarks)


_NO_DATA = remarked("")


def short_classes(cells: Sequence[Data]) -> dict[str, tuple[int, int]]:
    """Return the classes with fewer labels than requested: (requested, fewest got)."""
    short: dict[str, tuple[int, int]] = {}
    for data in cells:
        for name, (asked, got) in data.short.items():
            short[name] = (asked, min(got, short.get(name, (asked, got))[1]))
    return short


def labels_got(cells: Sequence[AnyCell]) -> tuple[int, int] | None:
    """Return the fewest and most labels that a class got; None if that is what was requested."""
    found = [cell.labels_got for cell in cells if cell.labels_got]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def seen_in(cells: Sequence[AnyCell]) -> tuple[str, ...]:
    """Return the datasets that contain the target and that the source was trained on."""
    return tuple(dict.fromkeys(name for cell in cells for name in cell.flags.contaminated_by))


def _cut_texts(cells: Sequence[Data]) -> int:
    """Return how many texts of the target were truncated."""
    found = [data.notes.get("cut_texts") or {} for data in cells]
    return max((sum(counts.values()) for counts in found), default=0)


def _no_validation(cells: Sequence[Data]) -> str | None:
    """Return why some cells had no validation although labels were enough; else None."""
    found = (data.notes.get("no_validation") for data in cells)
    return next((str(reason) for reason in found if reason), None)


def _untested(cells: Sequence[Data]) -> tuple[str, ...]:
    """Return the classes without any test example."""
    found = (data.notes.get("untested") or () for data in cells)
    return tuple(dict.fromkeys(str(name) for names in found for name in names))


def copy_counts(cells: Sequence[Data]) -> dict[str, int]:
    """Return how many test examples have copies in the training data; empty if none has.

    Keys: "test", the number of test examples; "exact" and "near", their copies in the pool;
    "dropped", the pool examples dropped; and the same for the source domain as "source_exact" and
    so on.
    """
    counts: dict[str, int] = {}
    for data in cells:
        for note, prefix in (("duplicates", ""), ("source_copies", "source_")):
            found = data.notes.get(note) or {}
            for kind in ("exact", "near", "dropped"):
                if count := found.get(kind):
                    counts[prefix + kind] = max(count, counts.get(prefix + kind, 0))
    return {"test": max(data.test for data in cells), **counts} if counts else {}


def _pair(cells: Sequence[Data]) -> str:
    """Return the special relation of the cells' source domain and target; empty if none."""
    return next((data.pair.told for data in cells if data.pair is not None), "")
