"""The notes on a verdict: warnings for the reader, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfergrid.evidence.measured.arms import worse_than_classical
from transfergrid.evidence.statistics.intervals import (
    FEW_GROUPS,
    SEEDS_AND_GROUPS,
    THESE_MODELS,
    THIS_MODEL,
    THIS_TEST_SET,
)
from transfergrid.evidence.statistics.skew import ENOUGH_SEEDS, stands_apart
from transfergrid.evidence.verdicts.decisions import Kind, constant
from transfergrid.evidence.verdicts.verdict import NOTHING_ELSE, PLACEBO, TRANSFER, Verdict
from transfergrid.records.metrics import one_answer

ONE_TEST_SET = "on this test set: its luck is not covered"
ONE_MODEL = "interval for new test items and this single model only"
ONE_CHECKPOINT = "one checkpoint of the source"


def noted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts with their notes; a placebo's verdict adds a note to arms beside it."""
    placebos = [verdict for verdict in verdicts if verdict.kind == PLACEBO]
    return [one.but(notes=(*one.notes, *_notes(one), *_shared(one, placebos))) for one in verdicts]


def _notes(one: Verdict) -> list[str]:
    n, said = len(one.cells) + one.unpaired or one.arm_n, one_answer([one.metric])
    told = [
        (not one.n, "nothing to compare: no seed in which arm and baseline have a score"),
        (bool(one.unpaired), f"{one.unpaired} of {n} seeds without a baseline's score"),
        (bool(one.failed), f"{_runs(one.failed)} failed and left out"),
        (bool(one.collapsed), f"{one.collapsed} of {n} runs collapsed: {said} predicted"),
        (bool(one.underfit), f"{one.underfit} of {n} runs underfit"),
        (
            bool(one.baseline_collapsed),
            f"{one.baseline_collapsed} of {one.n} runs of the baseline collapsed",
        ),
        (
            bool(one.baseline_underfit),
            f"{one.baseline_underfit} of {one.n} runs of the baseline underfit",
        ),
        (one.scope == THESE_MODELS, f"{constant(one.n)}: judged by test items alone"),
        (one.harm_ruled_out and one.verdict is not Kind.EQUIVALENT, _unseen(one)),
        (one.gain_ruled_out and one.verdict is Kind.NEGATIVE, "gain ruled out"),
        (undone(one), undone_note(one)),
        (not one.fallen and bool(_apart(one)), _apart(one)),
        (one.fragile, f"fragile: {_without_flagged(one)}"),
        (_is_clear(one), clear_note(one)),
        (one.weak_baseline, weak_note(one)),
        (
            bool(one.contaminated_by),
            f"target lies inside what the source was trained on ({', '.join(one.contaminated_by)})"
            ": no evidence of transfer to new data",
        ),
        (
            one.scope == SEEDS_AND_GROUPS and one.items < FEW_GROUPS,
            f"{one.items} groups of test items: too few to tell how much groups differ",
        ),
        (bool(one.cells) and one.trials != one.baseline_trials, _unequal(one)),
        (one.scope == THIS_TEST_SET, ONE_TEST_SET),
        (one.scope == THIS_MODEL and one.low is not None, ONE_MODEL),
        (bool(one.stale), f"{_runs(one.stale)} stale: the strategy's code has changed since"),
        (one.one_checkpoint and one.kind == TRANSFER, ONE_CHECKPOINT),
    ]
    return [text for applies, text in told if applies]


def _unequal(one: Verdict) -> str:
    """Return the note that one side had more settings to choose from."""
    return (
        f"unequal tuning: {_trials(one.trials)}, the baseline {_trials(one.baseline_trials)}: "
        "what more trials give is in the gain"
    )


def _trials(number: int) -> str:
    return f"{number} trials" if number > 1 else "1 trial"


def _unseen(one: Verdict) -> str:
    """Return the note that rare bad seeds may have been missed although harm is ruled out."""
    share = share_told(one.unseen_bad_seed_rate_95 or 0.0)
    return f"harm ruled out, but a share of bad {one.block}s up to {share} could have stayed unseen"


def clear_note(one: Verdict) -> str:
    """Say that the interval lies beyond the margin."""
    return f"beyond the margin of {one.margin:g}"


def weak_note(one: Verdict) -> str:
    """Say that the baseline is below a classical learner."""
    return f"the baseline {worse_than_classical(one.metric)}"


def undone(one: Verdict) -> bool:
    """Return whether collapses that the runs so far cannot exclude would undo the verdict."""
    if one.break_rate is None or one.collapse_rate_95 is None:
        return False
    return one.verdict is not Kind.UNDECIDED and one.collapse_rate_95 > one.break_rate


def undone_if(one: Verdict, rate: str, possible: str) -> str:
    """Return the words for the share of collapses that undoes a verdict, and the possible share."""
    whose = "the baseline's " if one.breaks_by_baseline else ""
    return f"would not stand if {rate} of {whose}{one.block}s collapsed, and up to {possible} may"


def undone_note(one: Verdict) -> str:
    """Return that note on one verdict."""
    return undone_if(one, share_told(one.break_rate or 0.0), share_told(one.collapse_rate_95 or 0))


def share_told(share: float) -> str:
    """Return a share from 0 to 1 in per cent, without decimals."""
    return "less than 1 %" if share < 0.005 else f"{100 * share:.0f} %"


def _apart(one: Verdict) -> str:
    """Return the note on an outlier seed, if there are enough seeds to be judged with it."""
    gains = np.array(one.gains)
    place = stands_apart(gains) if len(gains) >= ENOUGH_SEEDS else None
    if place is None:
        return ""
    name = one.seeds[place] if place < len(one.seeds) else place
    told = f"{one.block} {name} stands apart, {gains[place]:+.3g} beside a median of "
    return f"{told}{np.median(gains):+.3g}: the mean hides it"


def _without_flagged(one: Verdict) -> str:
    if one.without_flagged == NOTHING_ELSE:
        return "rests on collapsed or underfit runs alone"
    own = one.collapsed or one.underfit or one.baseline_collapsed or one.baseline_underfit
    runs = "collapsed and underfit runs" + ("" if own else " of others in its family")
    if one.fallen:
        runs = "collapsed, underfit and fallen runs" if own else "the runs far below all others"
    return f"{one.without_flagged or 'another verdict'} without {runs}"


def _is_clear(one: Verdict) -> bool:
    return one.beyond_margin and one.verdict in (Kind.POSITIVE, Kind.NEGATIVE)


def _runs(count: int) -> str:
    return f"{count} run{'s' if count != 1 else ''}"


def _shared(one: Verdict, placebos: Sequence[Verdict]) -> list[str]:
    """Return a note on each placebo that gains too: not all of the gain is then knowledge."""
    if one.kind != TRANSFER or one.verdict is not Kind.POSITIVE:
        return []
    beside = [
        placebo
        for placebo in placebos
        if placebo.verdict is Kind.POSITIVE and _arm(placebo) == _arm(one)
    ]
    return [f"{p.source} gains {p.gain:+.1f} too: not all is knowledge" for p in beside]


def _arm(one: Verdict) -> tuple[object, ...]:
    return one.strategy, one.architecture, one.target_part, one.labels, one.baseline, one.training
