"""What a decision, and the mark beside it, give to a verdict, by field."""

from __future__ import annotations

from typing import Any

from transfergrid.evidence.decisions import Decision
from transfergrid.evidence.unseen import Collapses, unseen_bad_seed_rate


def of_decision(decided: Decision, n: int) -> dict[str, Any]:
    """Return what a decision of n seeds gives to a verdict, by field."""
    low, high = decided.seeds_range
    return {
        "p": decided.p,
        "p_corrected": decided.p_corrected,
        "verdict": decided.kind,
        "detectable": decided.detectable,
        "seeds_needed": decided.seeds_needed,
        "seeds_needed_low": low,
        "seeds_needed_high": high,
        "seeds_for_harm": decided.seeds_for_harm,
        "p_equivalent": decided.p_equivalent,
        "p_harm": decided.p_harm,
        "p_gain": decided.p_gain,
        "harm_ruled_out": decided.harm_ruled_out,
        "gain_ruled_out": decided.gain_ruled_out,
        "unseen_bad_seed_rate_95": unseen_bad_seed_rate(n) if decided.harm_ruled_out else None,
    }


def of_collapses(found: Collapses | None) -> dict[str, Any]:
    """Return what the mark gives to it, if there is one."""
    if found is None:
        return {}
    return {
        "break_rate": found.rate,
        "collapse_rate_95": found.possible,
        "breaks_by_baseline": found.of_baseline,
    }
