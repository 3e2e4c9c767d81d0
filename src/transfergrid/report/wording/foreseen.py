"""What an undecided comparison could have detected, and how many seeds it still needs."""

from __future__ import annotations

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.standing import MOST_SEEDS
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.wording.verdict_words import counted, is_beyond_any, number
from transfergrid.report.wording.words import ASCII, UNICODE, Symbols, plural


def sees(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return the detectable gain and the seeds needed, for an undecided comparison only."""
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
    """Return whether not even the largest possible gain would have been detected."""
    return verdict.detectable is not None and is_beyond_any(verdict.detectable, verdict)


def more_seeds(verdict: Verdict) -> str:
    """Return how many more seeds are needed, with their range; empty if none would suffice."""
    if verdict.seeds_needed is None:
        return ""
    return plural(needed(verdict), f"more {verdict.block}")


def needed(verdict: Verdict) -> str:
    """Return the range of further seeds, as in "4 to 19"."""
    low, high = verdict.seeds_needed_low, verdict.seeds_needed_high
    if low is None:
        return str(verdict.seeds_needed)
    if high is None:
        return f"{low} to over {MOST_SEEDS:,}"
    return str(low) if low == high else f"{low} to {high}"


def seeds_for_harm(verdict: Verdict) -> str:
    """Return how many seeds would rule out harm, if they are fewer than for showing the gain."""
    count = verdict.seeds_for_harm
    if count is None or (verdict.seeds_needed is not None and count >= verdict.seeds_needed):
        return ""
    return f"{count} to rule out harm"
