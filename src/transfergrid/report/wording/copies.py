"""Notes on test examples that have copies in the training data."""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.evidence.verdicts.verdict import Verdict


def copies(rows: Sequence[Verdict]) -> list[str]:
    """Return a line for each target, and each source domain, in which copies were found."""
    told = [line for row in rows for line in (_in_pool(row), _in_source(row)) if line]
    return list(dict.fromkeys(told))


def _in_pool(row: Verdict) -> str:
    found = _found(row, "")
    if not found:
        return ""
    if dropped := row.remarks.copies.get("dropped"):
        return f"{row.target}: {found} in the pool; {_left_out(dropped)}"
    return f"{row.target}: {found} in the pool; target.duplicates=drop leaves them out"


def _in_source(row: Verdict) -> str:
    found = _found(row, "source_")
    if not found:
        return ""
    where = f"in what {row.source or 'the source'} learned from"
    if dropped := row.remarks.copies.get("source_dropped"):
        return f"{row.target}: {found} {where}; beside the target, {_left_out(dropped)}"
    return f"{row.target}: {found} {where}"


def _left_out(dropped: int) -> str:
    if dropped == 1:
        return "the one example there that is a copy is left out"
    return f"the {dropped:,} examples there that are copies are left out"


def _found(row: Verdict, prefix: str) -> str:
    """Return the counts: "252 of 1,060 test examples have an exact copy, 40 a near one"."""
    exact, near = (row.remarks.copies.get(prefix + kind, 0) for kind in ("exact", "near"))
    if not exact and not near:
        return ""
    first, kind = (exact, "an exact") if exact else (near, "a near")
    has = "has" if first == 1 else "have"
    told = f"{first:,} of {row.remarks.copies['test']:,} test examples {has} {kind} copy"
    return f"{told}, {near:,} a near one," if exact and near else told
