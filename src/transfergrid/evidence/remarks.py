"""What the cells of a row remark about their data, brought together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from transfergrid.records.record import Record


class HasLabels(Protocol):
    """A record, or what verdicts keep of it."""

    @property
    def labels_got(self) -> tuple[int, int] | None:
        """See `Record.labels_got`."""


def short_classes(cells: Sequence[Record]) -> dict[str, tuple[int, int]]:
    """Return the classes with fewer labels than asked for: (asked, fewest got)."""
    short: dict[str, tuple[int, int]] = {}
    for cell in cells:
        for name, (asked, got) in cell.data.short.items():
            short[name] = (asked, min(got, short.get(name, (asked, got))[1]))
    return short


def labels_got(cells: Sequence[HasLabels]) -> tuple[int, int] | None:
    """Return the fewest and most labels that a class got; None if that is what was asked for."""
    found = [cell.labels_got for cell in cells if cell.labels_got]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def seen_in(cells: Sequence[Record]) -> tuple[str, ...]:
    """Return the datasets that hold the target and that the source was trained on."""
    return tuple(dict.fromkeys(name for cell in cells for name in cell.flags.contaminated_by))


def cut_texts(cells: Sequence[Record]) -> int:
    """Return how many texts of the target the model was shown in part only."""
    found = [cell.data.notes.get("cut_texts") or {} for cell in cells]
    return max((sum(counts.values()) for counts in found), default=0)


def no_validation(cells: Sequence[Record]) -> str | None:
    """Return why nothing validated in some of the cells, though labels were enough; else None."""
    found = (cell.data.notes.get("no_validation") for cell in cells)
    return next((str(reason) for reason in found if reason), None)


def untested(cells: Sequence[Record]) -> tuple[str, ...]:
    """Return the classes that no test example is of."""
    found = (cell.data.notes.get("untested") or () for cell in cells)
    return tuple(dict.fromkeys(str(name) for names in found for name in names))


def copy_counts(cells: Sequence[Record]) -> dict[str, int]:
    """Return how many test examples have copies in what was learned from; empty if none has.

    Keys: "test" examples there are, "exact" and "near" copies in the pool, pool examples
    "dropped", and the same of the source domain as "source_exact" and so on.
    """
    counts: dict[str, int] = {}
    for cell in cells:
        for note, prefix in (("duplicates", ""), ("source_copies", "source_")):
            found = cell.data.notes.get(note) or {}
            for kind in ("exact", "near", "dropped"):
                if count := found.get(kind):
                    counts[prefix + kind] = max(count, counts.get(prefix + kind, 0))
    return {"test": cells[0].data.test, **counts} if counts else {}
