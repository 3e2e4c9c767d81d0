"""What an undecided comparison could have seen, and how many seeds it would still take."""

from __future__ import annotations

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.standing import MOST_SEEDS
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.verdict_words import counted, is_beyond_any, number
from transfergrid.report.words import ASCII, UNICODE, Symbols, plural


def sees(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Say what an undecided comparison could have seen, and the seeds it would still take."""
    if verdict.verdict is not Kind.UNDECIDED:
        return ""
    told = []
    if verdict.detectable is not None:
        at_least = ">=" if symbols is ASCII else "≥"
        seen = f"sees {at_least} {number(verdict.detectable, verdict)}"
        told.append(f"{counted(verdict)} cannot tell" if cannot_tell(verdict) else seen)
    if more := more_seeds(verdict):
        told.append(more)
    if for_harm := seeds_for_harm(verdict):
        told.append(for_harm)
    return "; ".join(told)


def cannot_tell(verdict: Verdict) -> bool:
    """Return whether not even the largest gain that there can be would have been found."""
    return verdict.detectable is not None and is_beyond_any(verdict.detectable, verdict)


def more_seeds(verdict: Verdict) -> str:
    """Say how many more seeds it would take, with their range; empty where none would do."""
    if verdict.seeds_needed is None:
        return ""
    return plural(needed(verdict), f"more {verdict.block}")


def needed(verdict: Verdict) -> str:
    """Write the further seeds with their range, as in "4 to 19"."""
    low, high = verdict.seeds_needed_low, verdict.seeds_needed_high
    if low is None:
        return str(verdict.seeds_needed)
    if high is None:
        return f"{low} to over {MOST_SEEDS:,}"
    return str(low) if low == high else f"{low} to {high}"


def seeds_for_harm(verdict: Verdict) -> str:
    """Say how many would rule out harm, where they are fewer than it takes to show the gain."""
    count = verdict.seeds_for_harm
    if count is None or (verdict.seeds_needed is not None and count >= verdict.seeds_needed):
        return ""
    return f"{count} to rule out harm"
