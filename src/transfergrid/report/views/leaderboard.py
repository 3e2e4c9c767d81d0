"""The leaderboard as a table: strategies by targets, scores with gains, marks and mean ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from transfergrid.evidence.leaderboard import Board, Entry, Line, Place
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.tables.columns import HTML, Align, Column, Group, Medium, Page, Table
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.costs import LEGEND, use_columns
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording import words
from transfergrid.report.wording.verdict_legend import marks
from transfergrid.report.wording.words import UNICODE, Symbols, gains_in

MOST_BESIDE = 6
"""The largest number of places for which scores of arms without a network are shown."""
BEST = "*"
Row = tuple[Line, list[str]]
"""A line and its names."""


def sheet(boards: Sequence[Board], footer: Iterable[str] = ()) -> Sheet:
    """Return leaderboards as a sheet.

    Args:
        boards: the leaderboards, one per label budget.
        footer: the closing lines.
    """
    footer = list(footer)
    return Sheet(lambda medium: _page(boards, footer, medium), lambda: as_rows(boards))


def _page(boards: Sequence[Board], footer: Sequence[str], medium: Medium) -> Page:
    tables = [table(board, medium) for board in boards]
    told = legend(boards, medium.symbols) if boards else []
    return Page(tables, below=[*told, *footer], empty="Nothing to compare yet.")


def table(board: Board, medium: Medium | None = None) -> Table[Row]:
    """Return a table with rank, names, and a column for each place."""
    medium = medium or Medium(HTML)
    lines = list(zip(board.lines, names_of(board), strict=True))
    return Table(_columns(board, medium.symbols), [Group(lines)], title(board, medium))


def _columns(board: Board, symbols: Symbols) -> list[Column[Row]]:

    def named(head: str, position: int) -> Column[Row]:
        return Column(head, lambda row: row[1][position], least=13, key=True)

    def at(place: Place) -> Column[Row]:
        usual = usual_seeds(board, place)
        head = place_name(place, board)
        return Column(head, lambda row: cell(row[0].entries.get(place), usual, symbols))

    names = ["strategy", "source"][: len(names_of(board)[0])]
    return [
        Column("rank", lambda row: rank(row[0], symbols), Align.RIGHT, key=True),
        *(named(head, position) for position, head in enumerate(names)),
        *map(at, board.places),
        *(use_columns(lambda row: row[0].use, symbols) if tells_use(board) else ()),
    ]


def tells_use(board: Board) -> bool:
    """Return whether the cost of predictions is known for any arm."""
    return any(line.use for line in board.lines)


def title(board: Board, medium: Medium) -> str:
    """Return a title with what the places have in common."""
    targets = {target for target, _ in board.places}
    budgets = {labels for _, labels in board.places}
    told = [next(iter(targets))] if len(targets) == 1 else [f"{len(targets)} targets"]
    counts = {_counts(board, place) for place in board.places}
    if len(budgets) == len(counts) == 1:
        told.append(words.budget(next(iter(budgets)), next(iter(counts))))
    sources = {line.name[0] for line in board.lines if line.name[0]}
    told += [f"source {next(iter(sources))}"] if len(sources) == 1 else []
    return medium.joined(*told)


def place_name(place: Place, board: Board) -> str:
    """Return a place's name: what distinguishes it from the others of its board."""
    target, labels = place
    one_target = len({name for name, _ in board.places}) == 1
    return f"labels={labels}" if one_target else target


def names_of(board: Board) -> list[list[str]]:
    """Return the names of each line: strategy and, if there are several, source."""
    sources = {line.name[0] for line in board.lines if line.name[0]}
    kinds = {line.name[1] for line in board.lines if line.name[1]}
    found = []
    for line in board.lines:
        source, architecture, strategy = line.name
        inside = f" ({architecture})" if architecture and len(kinds) > 1 else ""
        found.append([strategy, (source or "") + inside] if len(sources) > 1 or inside
                     else [strategy])  # fmt: skip
    wide = max(map(len, found), default=1)
    return [called + [""] * (wide - len(called)) for called in found]


def rank(line: Line, symbols: Symbols = UNICODE) -> str:
    """Return a mean rank as text."""
    return symbols.nothing if line.mean_rank is None else f"{line.mean_rank:.1f}"


def cell(entry: Entry | None, usual: int, symbols: Symbols = UNICODE) -> str:
    """Return a score with its gain and mark, and the number of seeds if it is below the usual."""
    if entry is None:
        return symbols.nothing
    score = words.number(entry.mean, entry.unit) + BEST * bool(entry.may_be_best)
    verdict = entry.verdict
    told = [] if verdict is None else [said.gain(verdict, symbols), said.mark(verdict, symbols)]
    seeds = f"(n={entry.n})" if entry.n < usual else ""
    return " ".join(filter(None, (score, *told, seeds)))


def usual_seeds(board: Board, place: Place) -> int:
    """Return the most frequent number of seeds in a place."""
    counts = Counter(line.entries[place].n for line in board.lines if place in line.entries)
    return max(counts, key=lambda n: (counts[n], n))


def legend(boards: Sequence[Board], symbols: Symbols = UNICODE) -> list[str]:
    """Return the legend of the leaderboards, one line each."""
    verdicts = verdicts_of(boards)
    lines = [
        "A place holds the mean test score over seeds, the gain over the primary baseline "
        f"{gains_in(verdicts)}, and the verdict's mark; what has no gain is a baseline itself."
    ]
    lines += marks(verdicts, symbols)
    lines += best_told(boards)
    lines += [f"{where}: {said.beside([one])}" for where, one in _beside(boards).items()]
    lines += [ranked(board, symbols) for board in boards[:1]]
    return lines + use_told(boards) + left_out(boards)


def use_told(boards: Sequence[Board]) -> list[str]:
    """Return the legend of the columns of costs, if there are any."""
    return [LEGEND] if any(map(tells_use, boards)) else []


def left_out(boards: Sequence[Board]) -> list[str]:
    """Return a line with the number of placebos, if there are any."""
    placebos = max((board.placebos for board in boards), default=0)
    return [f"{placebos} placebos are no candidates and left out."] if placebos else []


def best_told(boards: Sequence[Board]) -> list[str]:
    """Return a line with the number of arms that may be the best, for each place."""
    told = []
    for board in boards:
        for place in board.places:
            inside = [line.entries[place] for line in board.lines if place in line.entries]
            kept = sum(bool(entry.may_be_best) for entry in inside)
            if kept:
                told.append(f"{kept} of {len(inside)} ({place[0]}, {place[1]})")
    if not told:
        return []
    more = f" and {len(told) - MOST_BESIDE} places more" if len(told) > MOST_BESIDE else ""
    return [f"{BEST} not distinguishable from the best of its place: "
            f"{', '.join(told[:MOST_BESIDE])}{more}."]  # fmt: skip


def _beside(boards: Sequence[Board]) -> dict[str, Verdict]:
    """Return one verdict per place, which holds the scores of arms without a network there."""
    found = {
        f"{place[0]}, labels={place[1]}": entry.verdict
        for board in boards
        for line in board.lines
        for place, entry in line.entries.items()
        if entry.verdict and entry.verdict.beside
    }
    return dict(sorted(found.items())[:MOST_BESIDE])


def verdicts_of(boards: Sequence[Board]) -> list[Verdict]:
    """Return the verdicts that leaderboards show."""
    entries = [e for board in boards for line in board.lines for e in line.entries.values()]
    return [entry.verdict for entry in entries if entry.verdict]


def ranked(board: Board, symbols: Symbols = UNICODE) -> str:
    """Return the explanation of mean ranks, and that they are not verdicts."""
    if not board.ranked:
        return "rank: no two arms have a score, in seeds that they share, in every place."
    counts = sorted(set(board.shared.values()))
    ends = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
    seeds = words.plural(ends, "seed")
    told = (
        f"rank: mean over {_places(board)} of the rank among the {board.ranked} arms "
        f"that have a score in all of them, on the {seeds} that these share; equal scores "
        "share their ranks"
        if len(board.over) > 1
        else f"rank: among {board.ranked} arms, on the {seeds} that they share"
    )
    less = len(board.lines) - board.ranked
    lacking = f"; {symbols.nothing} {less} lack some" if less else ""
    return f"{told}{lacking}. {_apart(board)}".rstrip()


def _counts(board: Board, place: Place) -> str:
    """Return the meaning of the number of labels in a place."""
    entries = [line.entries[place] for line in board.lines if place in line.entries]
    return next((one.verdict.labels_are for one in entries if one.verdict), "class")


def _places(board: Board) -> str:
    left = [
        f"{target}, {words.budget(labels, _counts(board, (target, labels)))}"
        for target, labels in board.places
        if (target, labels) not in board.over
    ]
    without = f" (not {'; '.join(left)}, which most arms lack)" if left else ""
    return f"{len(board.over)} places{without}"


def _apart(board: Board) -> str:
    if board.critical is None:
        return "Ranks are no verdicts: these are the marks."
    return (
        f"Ranks are no verdicts: these are the marks. Nemenyi's critical difference of mean ranks, "
        f"for a picture, is {board.critical:.1f}."
    )


def as_rows(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Return a plain row for each arm and place."""
    return [
        {
            "source": line.name[0],
            "architecture": line.name[1],
            "strategy": line.name[2],
            "target": place[0],
            "labels": place[1],
            "n": entry.n,
            "mean": entry.mean,
            "unit": entry.unit,
            **_of_verdict(entry.verdict),
            "may_be_best": entry.may_be_best,
            "rank": entry.rank,
            "mean_rank": line.mean_rank,
            "protocol": None if entry.verdict is None else entry.verdict.protocol,
            "parameters_trained": entry.use.trained,
            "flops_forward": entry.use.flops,
            "seconds_forward": entry.use.seconds,
        }
        for board in boards
        for line in board.lines
        for place, entry in line.entries.items()
    ]


def _of_verdict(verdict: Verdict | None) -> dict[str, Any]:
    keys = ("baseline", "gain", "low", "high", "p_corrected")
    found = {key: getattr(verdict, key, None) for key in keys}
    return {**found, "verdict": None if verdict is None else verdict.verdict.value}
