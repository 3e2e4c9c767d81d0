"""The wording of verdicts, the same in every output.

The words *negative transfer* mean a negative verdict over the primary baseline and nothing else:
not an interval below zero, not one seed, not a placebo.
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
from transfergrid.report.wording import words
from transfergrid.report.wording.words import ASCII, UNICODE, Symbols

_MARKS = {
    Kind.POSITIVE: "▲+",
    Kind.NEGATIVE: "▼-",
    Kind.EQUIVALENT: "≈=",
    Kind.HARM_RULED_OUT: "►>",
    Kind.GAIN_RULED_OUT: "◄<",
    Kind.UNDECIDED: "??",
}
"""The mark of each kind, in Unicode and in ASCII."""
SAID = {
    Kind.POSITIVE: "helped",
    Kind.NEGATIVE: "hurt",
    Kind.EQUIVALENT: "no difference",
    Kind.HARM_RULED_OUT: "harm ruled out",
    Kind.GAIN_RULED_OUT: "gain ruled out",
    Kind.UNDECIDED: "undecided",
}
"""The name of each verdict on the page."""
CORRECTIONS = {"holm": "Holm", "bh": "Benjamini-Hochberg", "none": "uncorrected"}
APART = {PLACEBO: "placebos", CONTROL: "controls, without any source"}
"""The headings of arms that are shown below a family and are not part of it."""


def sign(kind: Kind, symbols: Symbols = UNICODE) -> str:
    """Return the mark of a kind of verdict."""
    return _MARKS[kind][symbols is ASCII]


def mark(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return a verdict's mark, doubled if the whole interval lies beyond the margin."""
    character = sign(verdict.verdict, symbols)
    past = verdict.beyond_margin and verdict.verdict in (Kind.POSITIVE, Kind.NEGATIVE)
    return character * 2 if past else character


def called(kind: Kind) -> str:
    """Return mark and word as on the page, such as "▲ helped"."""
    return f"{sign(kind)} {SAID[kind]}"


def outcome(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return mark and word, such as "▲ positive"."""
    return f"{mark(verdict, symbols)} {verdict.verdict}"


def number(value: float, verdict: Verdict, signed: bool = False) -> str:
    """Return a score or gain as text, with the number of decimals from `digits`."""
    places, size = digits(verdict), abs(verdict.baseline_mean or 0.0) or _largest(verdict)
    if is_of_numbers(verdict.metric) and size and not 1e-6 <= size < 1e7:
        return f"{value + 0.0:{'+' if signed else ''}.3e}"
    if places in (1, 3) and not is_of_numbers(verdict.metric):
        return words.number(value, "%" if places == 1 else "", signed)
    return f"{round(value, places) + 0.0:{'+' if signed else ''}.{places}f}"


def digits(verdict: Verdict) -> int:
    """Return the number of decimals: one in per cent or for numbers from ten on, else three.

    It is the same for all numbers of a verdict. In regression it is also the same for all arms over
    one baseline, and follows from the baseline's error.
    """
    largest = _largest(verdict)
    if is_of_numbers(verdict.metric):
        return words.digits_of(abs(verdict.baseline_mean or 0.0) or largest)
    return 1 if verdict.unit == "%" or largest >= 10 else 3


def is_beyond_any(gain: float, verdict: Verdict) -> bool:
    """Return whether a gain is impossibly large in per cent, or beside a score in its own unit.

    The limit is ten times the score; with two seeds, which tell almost nothing about their noise,
    the score itself.
    """
    times = 1 if verdict.n == 2 else 10
    most = words.MOST if verdict.unit == "%" else times * (_largest(verdict) or 1e-9)
    return abs(gain) > most


def _largest(verdict: Verdict) -> float:
    own = verdict.arm_mean if verdict.mean is None else verdict.mean
    return max(abs(own or 0.0), abs(verdict.baseline_mean or 0.0))


def counted(verdict: Verdict) -> str:
    """Return the number of seeds of a verdict in words, as in "two seeds"."""
    count = {1: "one", 2: "two", 3: "three"}.get(verdict.n, str(verdict.n))
    return f"{count} {verdict.block}{'s' if verdict.n != 1 else ''}"


def score(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return the arm's mean score as text."""
    return symbols.nothing if verdict.mean is None else number(verdict.mean, verdict)


def gain(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return the gain as text, without its interval, as in "+2.1"."""
    if verdict.gain is None:
        return symbols.nothing
    return number(verdict.gain, verdict, signed=True)


def interval(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return the gain's uncorrected interval, as in "[+0.3, +3.9]"; empty without a gain."""
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
    """Return a p value as text without leading zero, as in ".013"."""
    if value is None:
        return symbols.nothing
    if value < 0.001:
        return "<.001"
    return "1" if value >= 0.9995 else f"{value:.3f}".removeprefix("0")


def source(verdict: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return the source's name, or else the architecture in brackets."""
    if verdict.source:
        return verdict.source
    return f"({verdict.architecture})" if verdict.architecture else symbols.nothing


def groups(section: Sequence[Verdict]) -> list[list[Verdict]]:
    """Return a section split by baseline and architecture; placebos and controls come last."""
    found: dict[tuple[str, str | None], list[Verdict]] = {}
    for verdict in section:
        found.setdefault((verdict.baseline, verdict.architecture), []).append(verdict)
    order = (TRANSFER, PLACEBO, CONTROL)
    return [sorted(group, key=lambda v: order.index(v.kind)) for group in found.values()]


def title(section: Sequence[Verdict], seeds: Sequence[int]) -> tuple[str, ...]:
    """Return the title of a section: target, labels, metric, number of seeds, and test items."""
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
    """Return the scores of arms without a network, as in "beside: majority 9.9", or nothing."""
    means = [f"{name} {number(mean, section[0])}" for name, mean in section[0].beside]
    return f"beside: {', '.join(means)}" if means else ""


def resolution(section: Sequence[Verdict], symbols: Symbols = UNICODE) -> str:
    """Return the margin, and the half-width of intervals that test items alone would leave.

    As in "margin 3; 200 test items alone leave ±2.6 (2.1 to 3.4)": the median of the rows, and
    their smallest and largest value if these differ. Empty if no interval covers test items.
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
    """Return the header of a group: its baseline and, if corrected, its family."""
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
    """Return the baseline's name with its mean score, or the range of its scores in the group."""
    unit = group[0].unit
    found = [(v.baseline_mean, v) for v in group if v.baseline_mean is not None]
    means = [number(mean, verdict) for mean, verdict in sorted(found, key=lambda pair: pair[0])]
    ends = " to ".join(dict.fromkeys((means[0], means[-1]))) if means else ""
    return " ".join(part for part in (group[0].baseline, ends, unit if ends else "") if part)


def _range(values: Sequence[int]) -> str:
    ends = dict.fromkeys((min(values), max(values))) if values else ()
    return " to ".join(f"{end:,}" for end in ends)


def headline(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts that a grid's counts cover: transfer, over primary baselines if any."""
    transfer = [v for v in verdicts if v.kind == TRANSFER and v.n]
    return [v for v in transfer if v.primary] or transfer


def not_compared(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line on the arms without a common seed with their baseline, if there are any."""
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
    """Return the differences that remain when all comparisons are corrected at once.

    The correction is by Benjamini and Hochberg (1995) over all comparisons of `headline`, each
    tested at its own level.
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
    """Return a sentence with the counts of a grid's verdicts; empty if there is no comparison."""
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
        return ""  # with one family, its own correction already covers all
    these = "this difference" if found == 1 else f"these {found} differences"
    return f"; of {these}, BH over all {len(told):,} comparisons at once keeps {len(kept(told))}"


def _fragile(told: Sequence[Verdict]) -> str:
    proven = [v for v in told if v.verdict in (Kind.POSITIVE, Kind.NEGATIVE)]
    count = sum(v.fragile for v in proven)
    return (
        f"; {count} of these {len(proven)} {'is' if count == 1 else 'are'} fragile" if count else ""
    )
