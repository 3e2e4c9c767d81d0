"""The legend of verdicts: the numbers, the marks, and each note with its letter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transfergrid.evidence.statistics.intervals import THIS_MODEL
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.notes import (
    ONE_MODEL,
    clear_note,
    share_told,
    undone,
    undone_if,
    undone_note,
    weak_note,
)
from transfergrid.evidence.verdicts.verdict import TRANSFER, Verdict
from transfergrid.records.metrics import is_of_numbers
from transfergrid.report.wording import words
from transfergrid.report.wording.foreseen import sees
from transfergrid.report.wording.verdict_words import CORRECTIONS, mark, sign
from transfergrid.report.wording.words import UNICODE, Letters, Symbols


class Notes:
    """The notes of some verdicts: those that all transfer arms share, and others by letter.

    Args:
        verdicts: the verdicts in the order in which they are shown.
    """

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        self._of = _notes(verdicts)
        bears = [(verdict, self._of(verdict)) for verdict in verdicts]
        families = [set(notes) for verdict, notes in bears if _is_transfer(verdict)]
        shared = set.intersection(*families) if len(families) > 1 else set()
        self._letters = Letters()
        self.shared: dict[str, str] = {}
        for note in (note for _, notes in bears for note in notes):
            everyone = all(note in notes for _, notes in bears)
            if note in shared:
                self.shared[note] = "every row" if everyone else "every comparison"
            else:
                self._letters.letter(note)

    def legend(self) -> list[str]:
        """Return the shared notes, then the meaning of each letter, one line each."""
        return [*(f"{who}: {note}" for note, who in self.shared.items()), *self._letters.lines()]

    def letters(self, verdict: Verdict) -> str:
        """Return the letters of this verdict's notes."""
        return self._letters.letters(n for n in self._of(verdict) if n not in self.shared)


def _is_transfer(verdict: Verdict) -> bool:
    """Return whether the verdict is about a source, and has a baseline."""
    return verdict.kind == TRANSFER and bool(verdict.baseline)


def _notes(verdicts: Sequence[Verdict]) -> Callable[[Verdict], list[str]]:
    """Return the function that gives a verdict's notes, less those in marks and headers."""
    alike, usual = _alike(verdicts), words.common_scope(verdicts)

    def of(verdict: Verdict) -> list[str]:
        told = (
            clear_note(verdict),
            weak_note(verdict),
            *([ONE_MODEL] if usual == THIS_MODEL else []),
        )
        return [alike.get(note, note) for note in verdict.notes if note not in told]

    return of


def _alike(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Return, for notes that differ only in numbers, the one note that replaces all of them."""
    marked: dict[tuple[bool, str], list[Verdict]] = {}
    for verdict in filter(undone, verdicts):
        marked.setdefault((verdict.breaks_by_baseline, verdict.block), []).append(verdict)
    return {
        undone_note(verdict): undone_if(
            verdict,
            _shares([v.break_rate for v in alike]),
            _shares([v.collapse_rate_95 for v in alike]),
        )
        for alike in marked.values()
        for verdict in alike
    }


def _shares(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    least, most = (share_told(end) for end in (min(known), max(known)))
    return most if least == most else f"{least.removesuffix(' %')} to {most}"


def legend(
    verdicts: Sequence[Verdict], correction: str, symbols: Symbols | None = UNICODE
) -> list[str]:
    """Return the legend of the verdicts, lines of any length.

    Without `symbols`, verdicts are explained as words only.
    """
    if not verdicts:
        return []
    lines = [numbers(verdicts, correction), *marks(verdicts, symbols)]
    powers = sorted({v.power for v in verdicts if sees(v)})
    if powers:
        lines.append(
            f"sees: the smallest gain that would have been found in {_studies(powers)}; more "
            f"{verdicts[0].block}s: until a gain as large as this one, or the margin, would be; "
            "their range is what so few tell of the noise, right in 8 of 10 studies."
        )
    if any(v.items_floor is not None for v in verdicts):
        lines.append(
            "test items alone leave: half of the 95 % interval that endlessly many seeds would "
            "still have, the median of the rows (least to most)."
        )
    return lines + Notes(verdicts).legend()


def _studies(powers: Sequence[float]) -> str:
    """Return "8 of 10 studies", or "95 of 100" if tenths are not exact."""
    tenths = all(abs(10 * power - round(10 * power)) < 1e-9 for power in powers)
    size = 10 if tenths else 100
    return f"{' or '.join(f'{size * power:g}' for power in powers)} of {size} studies"


def numbers(verdicts: Sequence[Verdict], correction: str = "") -> str:
    """Return the explanation of gains and intervals, and of p if anything was decided."""
    usual = words.common_scope(verdicts)
    block = verdicts[0].block
    covers = f" that covers {words.COVERAGE[usual]}" if usual in words.COVERAGE else ""
    if usual and block != "seed":
        covers = f" that covers new {block}s like these"
    by = CORRECTIONS.get(correction, correction)
    p = "; p: uncorrected" if correction == "none" else f"; p: corrected within the family ({by})"
    p = p if correction else ""
    foreign = any((v.mean or 0.0) >= 10 and not is_of_numbers(v.metric) for v in verdicts)
    what = "points" if foreign and not any(v.unit for v in verdicts) else words.in_units(verdicts)
    return f"Gains are {what}, paired by {block}, with an uncorrected 95 % interval{covers}{p}."


def marks(verdicts: Sequence[Verdict], symbols: Symbols | None) -> list[str]:
    """Return a line that explains the occurring verdicts; empty without any."""
    if not verdicts:
        return []
    margins = sorted({v.margin for v in verdicts})
    within = (symbols or UNICODE).plus_minus + f"{margins[0]:g}"
    margin = f"{margins[0]:g}"
    if len(margins) > 1:  # the margin's unit differs by target
        margin = within = "the target's margin"
    hurt = any(v.verdict is Kind.NEGATIVE and v.kind == TRANSFER and v.primary for v in verdicts)
    meanings = {
        Kind.POSITIVE: "better than the baseline",
        Kind.NEGATIVE: "negative transfer" if hurt else "worse than the baseline",
        Kind.EQUIVALENT: f"no difference: within {within}",
        Kind.HARM_RULED_OUT: f"no loss of {margin} or more, be there a gain or not",
        Kind.GAIN_RULED_OUT: f"no gain of {margin} or more, be there a loss or not",
        Kind.UNDECIDED: "cannot be told" if symbols is None else "undecided",
    }
    there = {v.verdict for v in verdicts}
    shown = {kind: f"{kind}:" if symbols is None else sign(kind, symbols) for kind in Kind}
    told = [f"{shown[kind]} {text}" for kind, text in meanings.items() if kind in there]
    if any(len(mark(v)) == 2 for v in verdicts):
        doubled = "(beyond)" if symbols is None else "doubled"
        told.append(f"{doubled}: the whole interval lies beyond {within}")
    lines = [", ".join(told) + "."]
    if len(margins) > 1 or any(is_of_numbers(v.metric) for v in verdicts):
        by_target = {v.target: f"{v.target} {v.margin:g}" for v in verdicts}
        lines.append(f"Margins, in the unit of each target: {', '.join(by_target.values())}.")
    return lines
