"""What the cells of an arm remark about their data, brought together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from transfergrid.evidence.measured.arms import Key, grouped
from transfergrid.evidence.measured.results import AnyCell, Cell
from transfergrid.records.ledgers.index import remarked
from transfergrid.records.record import Data, Record


@dataclass(frozen=True, kw_only=True)
class Remarks:
    """What records alone tell of an arm's data."""

    short: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Classes with fewer labels than asked for: (asked, fewest got)."""
    cut_texts: int = 0
    """Texts of the target that were longer than the model takes, and so were cut."""
    copies: dict[str, int] = field(default_factory=dict)
    """Test examples with copies in what was learned from; see `copy_counts`."""
    no_validation: str | None = None
    """Why nothing validated, where labels were enough for it: the last step was kept."""
    untested: tuple[str, ...] = ()
    """Classes that no test example is of: what is a mean over classes leaves them out."""
    pair: str = ""
    """What is odd about the pair of source domain and target, such as "partial"."""

    @classmethod
    def of(cls, cells: Sequence[Data]) -> Remarks:
        """Bring together what the data of one arm's cells tell."""
        return cls(
            short=short_classes(cells),
            cut_texts=_cut_texts(cells),
            copies=copy_counts(cells),
            no_validation=_no_validation(cells),
            untested=_untested(cells),
            pair=_pair(cells),
        )


def by_arm(cells: Iterable[Cell]) -> dict[Key, Remarks]:
    """Return what the cells of each arm remark; arms of which none does are left out."""
    telling = [cell for cell in cells if data_of(cell) is not _NO_DATA]
    return {key: Remarks.of(list(map(data_of, arm))) for key, arm in grouped(telling).items()}


def data_of(cell: AnyCell) -> Data:
    """Return what is told of a cell's data, of a result as far as it is remarked on."""
    return cell.data if isinstance(cell, Record) else remarked(cell.remarks)


_NO_DATA = remarked("")


def short_classes(cells: Sequence[Data]) -> dict[str, tuple[int, int]]:
    """Return the classes with fewer labels than asked for: (asked, fewest got)."""
    short: dict[str, tuple[int, int]] = {}
    for data in cells:
        for name, (asked, got) in data.short.items():
            short[name] = (asked, min(got, short.get(name, (asked, got))[1]))
    return short


def labels_got(cells: Sequence[AnyCell]) -> tuple[int, int] | None:
    """Return the fewest and most labels that a class got; None if that is what was asked for."""
    found = [cell.labels_got for cell in cells if cell.labels_got]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def seen_in(cells: Sequence[AnyCell]) -> tuple[str, ...]:
    """Return the datasets that hold the target and that the source was trained on."""
    return tuple(dict.fromkeys(name for cell in cells for name in cell.flags.contaminated_by))


def _cut_texts(cells: Sequence[Data]) -> int:
    """Return how many texts of the target the model was shown in part only."""
    found = [data.notes.get("cut_texts") or {} for data in cells]
    return max((sum(counts.values()) for counts in found), default=0)


def _no_validation(cells: Sequence[Data]) -> str | None:
    """Return why nothing validated in some of the cells, though labels were enough; else None."""
    found = (data.notes.get("no_validation") for data in cells)
    return next((str(reason) for reason in found if reason), None)


def _untested(cells: Sequence[Data]) -> tuple[str, ...]:
    """Return the classes that no test example is of."""
    found = (data.notes.get("untested") or () for data in cells)
    return tuple(dict.fromkeys(str(name) for names in found for name in names))


def copy_counts(cells: Sequence[Data]) -> dict[str, int]:
    """Return how many test examples have copies in what was learned from; empty if none has.

    Keys: "test" examples there are, "exact" and "near" copies in the pool, pool examples
    "dropped", and the same of the source domain as "source_exact" and so on.
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
    """Return what is odd about the pair of the cells' source domain and target."""
    return next((data.pair.told for data in cells if data.pair is not None), "")
