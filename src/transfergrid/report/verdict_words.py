"""How verdicts are put into words, the same in every output.

The words *negative transfer* stand for a negative verdict over the primary baseline and for nothing
else: not for an interval under zero, not for one seed, not for a placebo.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from transfergrid.evidence.measured.arms import worse_than_classical
from transfergrid.evidence.statistics.correction import benjamini_hochberg
from transfergrid.evidence.statistics.intervals import SEEDS_AND_GROUPS
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, TRANSFER, Verdict
from transfergrid.records.metrics import is_of_numbers
from transfergrid.report import words
from transfergrid.report.words import ASCII, UNICODE, Symbols

_MARKS = {
    Kind.POSITIVE: "▲+",
    Kind.NEGATIVE: "▼-",
    Kind.EQUIVALENT: "≈=",
    Kind.HARM_RULED_OUT: "►>",
    Kind.GAIN_RULED_OUT: "◄<",
    Kind.UNDECIDED: "??",
}
"""Of each kind, the mark among all characters and among ASCII ones."""
SAID = {
    Kind.POSITIVE: "helped",
    Kind.NEGATIVE: "hurt",
    Kind.EQUIVALENT: "no difference",
    Kind.HARM_RULED_OUT: "harm ruled out",
    Kind.GAIN_RULED_OUT: "gain ruled out",
    Kind.UNDECIDED: "undecided",
}
"""What each verdict is called on the page."""
CORRECTIONS = {"holm": "Holm", "bh": "Benjamini-Hochberg", "none": "uncorrected"}
APART = {PLACEBO: "placebos", CONTROL: "controls, without any source"}
"""What is shown below a family, for it is no part of it."""


def sign(kind: Kind, symbols: Symbols = UNICODE) -> str:
    """Return a kind of verdict as a character."""
    return _MARKS[kind][symbols is ASCII]


def mark(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return the verdict as a character, twice where the whole interval lies past the margin."""
    character = sign(verdict.verdict, symbols)
    past = verdict.beyond_margin and verdict.verdict in (Kind.POSITIVE, Kind.NEGATIVE)
    return character * 2 if past else character


def called(kind: Kind) -> str:
    """Return mark and word as on the page, as in "▲ helped"."""
    return f"{sign(kind)} {SAID[kind]}"


def outcome(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return mark and word, as in "▲ positive"."""
    return f"{mark(verdict, symbols)} {verdict.verdict}"


def number(value: float, verdict: Verdict, signed: bool = False) -> str:
    """Write a score or gain, with so many decimals as `digits` says."""
    places, size = digits(verdict), abs(verdict.baseline_mean or 0.0) or _largest(verdict)
    if is_of_numbers(verdict.metric) and size and not 1e-6 <= size < 1e7:
        return f"{value + 0.0:{'+' if signed else ''}.3e}"
    if places in (1, 3) and not is_of_numbers(verdict.metric):
        return words.number(value, "%" if places == 1 else "", signed)
    return f"{round(value, places) + 0.0:{'+' if signed else ''}.{places}f}"


def digits(verdict: Verdict) -> int:
    """Return how many decimals are shown: one in per cent or among numbers from ten on, else three.

    They are the same for all numbers of a verdict; where labels are numbers also for all arms over
    one baseline, whose error says how many there are.
    """
    largest = _largest(verdict)
    if is_of_numbers(verdict.metric):
        return words.digits_of(abs(verdict.baseline_mean or 0.0) or largest)
    return 1 if verdict.unit == "%" or largest >= 10 else 3


def is_beyond_any(gain: float, verdict: Verdict) -> bool:
    """Return whether no gain is so large: in per cent, or beside a score in a unit of its own.

    That is ten times the score; of two seeds, which tell nearly nothing of their noise, once.
    """
    times = 1 if verdict.n == 2 else 10
    most = words.MOST if verdict.unit == "%" else times * (_largest(verdict) or 1e-9)
    return abs(gain) > most


def _largest(verdict: Verdict) -> float:
    own = verdict.arm_mean if verdict.mean is None else verdict.mean
    return max(abs(own or 0.0), abs(verdict.baseline_mean or 0.0))


def counted(verdict: Verdict) -> str:
    """Count the seeds of a verdict in words, as in "two seeds"."""
    count = {1: "one", 2: "two", 3: "three"}.get(verdict.n, str(verdict.n))
    return f"{count} {verdict.block}{'s' if verdict.n != 1 else ''}"


def score(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Write the arm's mean score."""
    return symbols.nothing if verdict.mean is None else number(verdict.mean, verdict)


def gain(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Write the gain alone, as in "+2.1"."""
    if verdict.gain is None:
        return symbols.nothing
    return number(verdict.gain, verdict, signed=True)


def interval(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Write the gain's uncorrected interval, as in "[+0.3, +3.9]"; empty without a gain."""
    if verdict.gain is None:
        return ""
    ends = words.ends(verdict.low, verdict.high, verdict.unit, verdict.se)
    if ends is not None:
        if verdict.n == 2 and is_beyond_any((ends[1] - ends[0]) / 2, verdict):
            return f"[{counted(verdict)}]"
        return words.bracketed(ends, lambda end: number(end, verdict, signed=True))
    if verdict.constant:
        return "[constant]"
    if verdict.se is not None:
        return "[anything]"
    return f"[one {verdict.block}]" if verdict.n == 1 else f"[{symbols.nothing}]"


def p_value(value: float | None, symbols: Symbols = UNICODE) -> str:
    """Write a p value without its zero, as in ".013"."""
    if value is None:
        return symbols.nothing
    if value < 0.001:
        return "<.001"
    return "1" if value >= 0.9995 else f"{value:.3f}".removeprefix("0")


def source(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Name the source, or else the architecture in brackets."""
    if verdict.source:
        return verdict.source
    return f"({verdict.architecture})" if verdict.architecture else symbols.nothing


def groups(section: Sequence[Verdict]) -> list[list[Verdict]]:
    """Split a section by baseline and architecture; what is no transfer comes last in each."""
    found: dict[tuple[str, str | None], list[Verdict]] = {}
    for verdict in section:
        found.setdefault((verdict.baseline, verdict.architecture), []).append(verdict)
    order = (TRANSFER, PLACEBO, CONTROL)
    return [sorted(group, key=lambda v: order.index(v.kind)) for group in found.values()]


def title(section: Sequence[Verdict], seeds: Sequence[int]) -> tuple[str, ...]:
    """Name a section: target, labels, metric, the seeds that its arms have, and test items."""
    first = section[0]
    items = _range([v.items for v in section if v.items > 1])
    return (
        first.target,
        words.labels_of(section, first.labels_are),
        words.metric(first),
        words.plural(_range(seeds), first.block),
        _items(section, items) if items else "",
    )


def _items(section: Sequence[Verdict], count: str) -> str:
    if any(v.scope == SEEDS_AND_GROUPS for v in section):
        return f"{words.plural(count, 'group')} of test items"
    return words.plural(count, "test item")


def beside(section: Sequence[Verdict]) -> str:
    """Say what arms without any network score, as in "beside: majority 9.9"; empty without any."""
    means = [f"{name} {number(mean, section[0])}" for name, mean in section[0].beside]
    return f"beside: {', '.join(means)}" if means else ""


def resolution(section: Sequence[Verdict], symbols: Symbols = UNICODE) -> str:
    """Say beside the margin what test items alone leave of the intervals, of any number of seeds.

    As in "margin 3; 200 test items alone leave ±2.6 (2.1 to 3.4)": the median of the rows, and
    their ends where these differ; empty where no interval covers test items.
    """
    rows = [v for v in section if v.items_floor is not None]
    if not rows:
        return ""
    floors = [v.items_floor or 0.0 for v in rows]
    middle, low, high = (
        number(floor, rows[0]) for floor in (statistics.median(floors), min(floors), max(floors))
    )
    left = f"{symbols.plus_minus}{middle}" + (f" ({low} to {high})" if low != high else "")
    items = _items(rows, _range([v.items for v in rows]))
    return f"margin {rows[0].margin:g}; {items} alone leave {left}"


def header(group: Sequence[Verdict], correction: str, symbols: Symbols = UNICODE) -> str:
    """Name what a group is compared with, and the family that it is corrected in, if it is."""
    first = group[0]
    family = [v for v in group if v.kind == TRANSFER]
    over = f"over {baseline(group)}" if correction else f"gain over {baseline(group)}"
    told = [over + (f" ({first.architecture})" if first.architecture else "")]
    if any(v.weak_baseline for v in group):
        told[0] += f", which {worse_than_classical(first.metric)}"
    if not first.primary:
        told.append("exploratory")
    if correction and family and family[0].family_size:
        name = CORRECTIONS.get(correction, correction)
        told.append(f"family of {family[0].family_size}, {name}")
        if abs(family[0].level - 0.05) > 1e-12:
            told.append(f"level {p_value(family[0].level)}")
    return f" {symbols.dot} ".join(told)


def baseline(group: Sequence[Verdict]) -> str:
    """Name the baseline with its mean score, or with their range over the group."""
    unit = group[0].unit
    found = [(v.baseline_mean, v) for v in group if v.baseline_mean is not None]
    means = [number(mean, verdict) for mean, verdict in sorted(found, key=lambda pair: pair[0])]
    ends = " to ".join(dict.fromkeys((means[0], means[-1]))) if means else ""
    return " ".join(part for part in (group[0].baseline, ends, unit if ends else "") if part)


def _range(values: Sequence[int]) -> str:
    ends = dict.fromkeys((min(values), max(values))) if values else ()
    return " to ".join(f"{end:,}" for end in ends)


def headline(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return those that a grid's counts speak of: transfer, over primary baselines if any is."""
    transfer = [v for v in verdicts if v.kind == TRANSFER and v.n]
    return [v for v in transfer if v.primary] or transfer


def not_compared(verdicts: Sequence[Verdict]) -> list[str]:
    """Say in one line which arms have no seed in common with their baseline, if there are any."""
    left = [verdict for verdict in verdicts if not verdict.n]
    if not left:
        return []
    names = words.some(list(dict.fromkeys(map(_named, left))), between="; ")
    arms = words.plural(len(left), "arm")
    return [f"Not compared, for no seed has a score of both arm and baseline: {arms} ({names})."]


def _named(verdict: Verdict) -> str:
    arm = " ".join(filter(None, (verdict.source, verdict.strategy)))
    failed = f", {verdict.failed} failed" if verdict.failed else ""
    return f"{arm} on {verdict.target}, {verdict.labels}{failed}"


def kept(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the differences that stand when all comparisons are corrected at once.

    By Benjamini and Hochberg (1995) over every comparison of `headline`, each at its own level.
    """
    tested = [(v, v.p) for v in headline(verdicts) if v.p is not None]
    if not tested:
        return []
    corrected = benjamini_hochberg([p for _, p in tested])
    return [
        verdict
        for (verdict, _), p in zip(tested, corrected, strict=True)
        if p <= verdict.level and verdict.verdict in (Kind.POSITIVE, Kind.NEGATIVE)
    ]


def summary(verdicts: Iterable[Verdict]) -> str:
    """Count the verdicts of a whole grid in a sentence; empty if there is no comparison."""
    told = headline(verdicts)
    if not told:
        return ""
    counts = Counter(v.verdict for v in told)
    equal, negative = counts[Kind.EQUIVALENT], counts[Kind.NEGATIVE]
    harm, gain = counts[Kind.HARM_RULED_OUT], counts[Kind.GAIN_RULED_OUT]
    parts = (
        (counts[Kind.POSITIVE], f"{counts[Kind.POSITIVE]} helped"),
        (negative, f"{negative} hurt{' (negative transfer)' if told[0].primary else ''}"),
        (equal, f"{equal} make{'s' if equal == 1 else ''} no difference"),
        (harm, f"in {harm} harm is ruled out"),
        (gain, f"in {gain} a gain is ruled out"),
        (counts[Kind.UNDECIDED], f"{counts[Kind.UNDECIDED]} undecided"),
    )
    listed = ", ".join(text for count, text in parts if count)
    return f"{words.plural(len(told), 'comparison')}: {listed}{_overall(told)}{_fragile(told)}."


def _overall(told: Sequence[Verdict]) -> str:
    found = sum(v.verdict in (Kind.POSITIVE, Kind.NEGATIVE) for v in told)
    if not found or len({v.family for v in told}) < 2:
        return ""  # one family: its own correction is that of the whole
    these = "this difference" if found == 1 else f"these {found} differences"
    return f"; of {these}, BH over all {len(told):,} comparisons at once keeps {len(kept(told))}"


def _fragile(told: Sequence[Verdict]) -> str:
    proven = [v for v in told if v.verdict in (Kind.POSITIVE, Kind.NEGATIVE)]
    count = sum(v.fragile for v in proven)
    return (
        f"; {count} of these {len(proven)} {'is' if count == 1 else 'are'} fragile" if count else ""
    )
