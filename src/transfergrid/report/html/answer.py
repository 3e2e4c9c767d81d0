"""The answer: a sentence for each target and label budget, and the counts of verdicts.

An arm is recommended only by its validation score; its gain is then read on the test set, with its
verdict and interval. The best of many arms by test score would look good by chance.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from transfergrid.evidence.measured.arms import labels_order
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import TRANSFER, Verdict
from transfergrid.records.cell import Labels
from transfergrid.report.html.data import Place, ReportData
from transfergrid.report.html.recommended import (
    Choice,
    arm_name,
    chosen,
    interval_told,
    row_of,
    worth_told,
)
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording.foreseen import more_seeds
from transfergrid.report.wording.verdict_words import kept, number
from transfergrid.report.wording.words import budget, plural

MOST_SENTENCES = 4
"""With more targets than this, they are counted and not named one by one."""


NONE_HELD_BACK = "no labels are held back for validation"


@dataclass(frozen=True)
class Answer:
    """The recommendation for one target and label budget."""

    target: str
    labels: Labels
    kind: Kind | None
    """The verdict on the recommended arm's gain; None if no arm with a baseline is recommended."""
    arm: str
    """The recommended arm, in few words."""
    sentence: str
    row: int | None = None
    """The recommended arm's index among the verdicts."""


@dataclass(frozen=True)
class Counts:
    """The numbers of primary comparisons of sources by verdict."""

    kinds: dict[Kind, int]
    seeds: int | None
    """The median of the further seeds that the undecided ones need."""
    without_seeds: int
    """The number of undecided ones that no number of seeds would decide, or for which it is
    unknown."""
    helped_overall: int
    """The number of proven gains (the next: of losses) that remain if the false discovery rate is
    controlled over all comparisons."""
    hurt_overall: int
    fragile: int
    """The number of proven ones that change, or have no data left, without flagged and fallen
    runs."""
    weak: int
    """The number of proven gains over a baseline that is worse than a classical learner on the
    labels alone."""
    aside: int
    """The number of placebos and controls, which are not counted above."""
    not_compared: int = 0
    """The number of arms without a common seed with their baseline."""

    @property
    def total(self) -> int:
        """The number of all counted comparisons."""
        return sum(self.kinds.values())


def places(verdicts: Sequence[Verdict]) -> list[Place]:
    """Return each target and label budget, budgets in rising order and "all" last."""
    found = {(verdict.target, verdict.labels) for verdict in verdicts}
    return sorted(found, key=lambda place: (place[0], labels_order(place[1])))


def summary(data: ReportData) -> list[str]:
    """Return a sentence for each target on where sources are proven to help and to hurt.

    For more than `MOST_SENTENCES` targets, one sentence says on how many.
    """
    own: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in data.verdicts:
        if verdict.kind == TRANSFER:
            own[verdict.target].append(verdict)
    if len(own) <= MOST_SENTENCES:
        return [f"On {target}, {_helped_and_hurt(own[target])}." for target in sorted(own)]
    many = [
        sum(any(v.verdict is kind for v in found) for found in own.values())
        for kind in (Kind.POSITIVE, Kind.NEGATIVE)
    ]
    return [
        f"Some source is proven to help on {many[0]} of {len(own)} targets, and some to hurt on "
        f"{many[1]}."
    ]


def scores(data: ReportData, told: Sequence[Answer]) -> list[str]:
    """Return a sentence for each target with test scores of baselines, arms and recommendations.

    Args:
        data: the data of the report.
        told: the result of `answers`.
    """
    if len({answer.target for answer in told}) > MOST_SENTENCES:
        return []
    found: defaultdict[str, list[str]] = defaultdict(list)
    for answer in told:
        if scored := _scored(data, answer):
            given = _budget(data, answer.target, answer.labels)
            found[answer.target].append(f"{given}, {scored}")
    return [f"Test scores on {target}: {'; '.join(lines)}." for target, lines in found.items()]


def _budget(data: ReportData, target: str, labels: Labels) -> str:
    counts = next((v.labels_are for v in data.verdicts if v.target == target), "class")
    return budget(labels, counts)


def _scored(data: ReportData, answer: Answer) -> str:
    inside = data.at((answer.target, answer.labels))
    arms = [v for _, v in inside if v.kind == TRANSFER and v.mean is not None]
    if not arms:
        return ""
    bases: dict[str, float] = {v.baseline: v.baseline_mean or 0.0 for v in arms}
    told = [f"{name} {_with_unit(mean, arms[0])}" for name, mean in bases.items()]
    if answer.row is not None:
        own = data.verdicts[answer.row]
        told.append(f"{answer.arm} {_with_unit(own.mean or 0.0, own)}")
    if len(arms) > 1:
        ends = [number(bound(v.mean or 0.0 for v in arms), arms[0]) for bound in (min, max)]
        count = "both" if len(arms) == 2 else f"all {len(arms)}"
        told.append(f"{count} arms {' to '.join(ends)} {arms[0].unit}".strip())
    return ", ".join(told)


def _with_unit(value: float, verdict: Verdict) -> str:
    return f"{number(value, verdict)} {verdict.unit}".strip()


def _helped_and_hurt(found: Sequence[Verdict]) -> str:
    if all(verdict.verdict is Kind.EQUIVALENT for verdict in found):
        return "transfer makes no difference that matters"
    return f"transfer is proven {_proven(found)}{_ruled_out(found)}"


def _proven(found: Sequence[Verdict]) -> str:
    helped, hurt = (_where(found, kind) for kind in (Kind.POSITIVE, Kind.NEGATIVE))
    if helped and hurt:
        return f"to help with {helped}, and to hurt with {hurt}"
    if helped:
        return f"to help with {helped}, and nowhere to hurt"
    if hurt:
        return f"to hurt with {hurt}, and nowhere to help"
    return "neither to help nor to hurt"


def _ruled_out(found: Sequence[Verdict]) -> str:
    """Return the counts of ruled-out harm and gain; empty if nothing is ruled out."""
    ruled = Counter(verdict.verdict for verdict in found)
    both = ((ruled[Kind.HARM_RULED_OUT], "harm"), (ruled[Kind.GAIN_RULED_OUT], "a gain"))
    told = listed([f"{what} is ruled out in {n}" for n, what in both if n])
    return f"; of {len(found)} arms, {told}" if told else ""


def _where(found: Sequence[Verdict], kind: Kind) -> str:
    """Return at which budgets and how often a verdict occurs, and the strategy if only one."""
    such = [verdict for verdict in found if verdict.verdict is kind]
    if not such:
        return ""
    at = sorted({verdict.labels for verdict in such}, key=labels_order)
    inside = [verdict for verdict in found if verdict.labels in at]
    strategies = {verdict.strategy for verdict in such}
    arms = plural(len(inside), "arm")
    named = f", all with {strategies.pop()}" if len(strategies) == 1 and len(such) > 1 else ""
    told = listed([budget(labels, such[0].labels_are) for labels in at])
    return f"{told} ({len(such)} of {arms}{named})"


def listed(names: Sequence[str]) -> str:
    """Return names joined, as in "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def answers(data: ReportData) -> list[Answer]:
    """Return an answer for each target and label budget."""
    found = {place: chosen(data, place) for place in places(data.verdicts)}
    return [_answer(data, place, found) for place in found]


def _answer(
    data: ReportData,
    place: Place,
    found: dict[Place, Choice | None],
) -> Answer:
    choice = found[place]
    if choice is None:
        return _without_validation(data, place, found)
    score = _with_unit(choice.validation, data.at(place)[0][1])
    worth = worth_told(data, choice, place, place)
    if choice.row is None:
        told = f"use no more than {choice.name}: no arm scores better on validation ({score})"
        return Answer(*place, None, choice.name, f"{told}{worth}.")
    verdict = data.verdicts[choice.row]
    tied = f", with {choice.tied - 1} as good" if choice.tied > 1 else ""
    told = (
        f"use {choice.name}, the best on validation ({score}{tied}); on the test set "
        f"{_test_told(data, verdict, choice.among)}{worth}."
    )
    return Answer(*place, verdict.verdict, choice.name, told, choice.row)


def _without_validation(
    data: ReportData,
    place: Place,
    found: dict[Place, Choice | None],
) -> Answer:
    target, labels = place
    others = [
        (other, choice)
        for (name, other), choice in found.items()
        if name == target and choice is not None and choice.row is not None and labels != 0
    ]
    for other, choice in sorted(others, key=lambda pair: labels_order(pair[0])):
        row = row_of(data, choice.arm, place)
        if row is not None:
            verdict = data.verdicts[row]
            worth = worth_told(data, choice, place, (target, other))
            there = _budget(data, target, other)
            told = (
                f"{choice.name}, chosen at {there} because none can be chosen here "
                f"({NONE_HELD_BACK}); on the test set "
                f"{_test_told(data, verdict, choice.among)}{worth}."
            )
            return Answer(target, labels, verdict.verdict, choice.name, told, row)
    return _unchosen(data, place)


def _test_told(data: ReportData, verdict: Verdict, among: int = 1) -> str:
    at = "" if verdict.mean is None else f"at {_with_unit(verdict.mean, verdict)}, "
    return at + gain_told(verdict, among) + _but(data, verdict)


def _but(data: ReportData, chosen: Verdict) -> str:
    """Return the exploratory baselines that the chosen arm is proven to be worse than."""
    worse = [
        f"{name} ({said.gain(verdict)})"
        for name, verdicts in data.over_baselines.items()
        for verdict in verdicts
        if verdict.cells == chosen.cells and verdict.verdict is Kind.NEGATIVE and verdict.gain
    ]
    return f"; but it is proven worse than {', '.join(worse)}" if worse else ""


def _unchosen(data: ReportData, place: Place) -> Answer:
    """Return the answer without validation: the only arm, or how many help and hurt."""
    own = [(row, verdict) for row, verdict in data.at(place) if verdict.kind == TRANSFER]
    if len(own) == 1:
        row, verdict = own[0]
        told = f"the only arm is {arm_name(verdict)}; on the test set {_test_told(data, verdict)}."
        return Answer(*place, verdict.verdict, arm_name(verdict), told, row)
    told = f"no arm can be chosen on validation ({NONE_HELD_BACK})"
    if own:
        kinds = Counter(verdict.verdict for _, verdict in own)
        helped, hurt = kinds[Kind.POSITIVE], kinds[Kind.NEGATIVE]
        are = "is" if helped == 1 else "are"
        told += f"; {helped} of {len(own)} arms {are} proven to help and {hurt} to hurt"
    return Answer(*place, None, "no recommendation", f"{told}.")


def gain_told(verdict: Verdict, among: int = 1) -> str:
    """Return an arm's outcome, as in "it helped: +16.6 points over scratch [12.3, 20.9]".

    Args:
        verdict: the verdict on the arm.
        among: the number of arms from which it was chosen; the interval is simultaneous over them.
    """
    if verdict.gain is None:
        return f"its gain over {verdict.baseline} is not known"
    told = f"{gain(verdict)} over {verdict.baseline}{interval_told(verdict, among)}"
    came = {
        Kind.POSITIVE: "it helped",
        Kind.NEGATIVE: "it hurt",
        Kind.EQUIVALENT: "it makes no difference that matters",
        Kind.HARM_RULED_OUT: f"no loss of {verdict.margin:g} or more, whether it helps or not",
        Kind.GAIN_RULED_OUT: f"no gain of {verdict.margin:g} or more, whether it hurts or not",
        Kind.UNDECIDED: "it is undecided whether it helps",
    }
    more = more_seeds(verdict) if verdict.verdict is Kind.UNDECIDED else ""
    return f"{came[verdict.verdict]}: {told}" + (f"; {more} would tell" if more else "")


def gain(verdict: Verdict) -> str:
    """Return a gain as text with its unit."""
    return said.gain(verdict) + (" points" if verdict.unit == "%" else "")


def counts(data: ReportData) -> Counts:
    """Return the counts of verdicts on sources over their primary baselines."""
    counted = [verdict for verdict in data.verdicts if verdict.kind == TRANSFER and verdict.n]
    kinds = Counter(verdict.verdict for verdict in counted)
    undecided = [v.seeds_needed for v in counted if v.verdict is Kind.UNDECIDED]
    needed = [number for number in undecided if number is not None]
    held = Counter(verdict.verdict for verdict in kept(counted))
    return Counts(
        kinds={kind: kinds.get(kind, 0) for kind in Kind},
        seeds=int(statistics.median(needed)) if needed else None,
        without_seeds=len(undecided) - len(needed),
        helped_overall=held[Kind.POSITIVE],
        hurt_overall=held[Kind.NEGATIVE],
        fragile=sum(v.fragile for v in counted if v.verdict in (Kind.POSITIVE, Kind.NEGATIVE)),
        weak=sum(v.weak_baseline for v in counted if v.verdict is Kind.POSITIVE),
        aside=sum(verdict.kind != TRANSFER for verdict in data.verdicts),
        not_compared=sum(not verdict.n for verdict in data.verdicts),
    )
