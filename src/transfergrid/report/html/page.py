"""The page put together: text and tables here, charts and the sortable table by its script."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from importlib import resources

from transfergrid.evidence.decisions import Kind
from transfergrid.records import printing
from transfergrid.report.html import charts, pieces, rows, themes
from transfergrid.report.html.answer import (
    SAID,
    Answer,
    Counts,
    answers,
    counts,
    listed,
    scores,
    summary,
)
from transfergrid.report.html.bundle import compiled, library
from transfergrid.report.html.data import ReportData
from transfergrid.report.words import budget, labels_of

SCRIPTS = ("data.js", "charts.js", "table.js", "theme.js", "start.js")
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)
"""What a browser lets the page do: nothing from any network. Vega compiles its expressions."""


def page(data: ReportData) -> str:
    """Return the whole report as one HTML text that needs nothing else."""
    title = data.title or question(data)
    shown = [_filters(data), *_sections(data)] if data.verdicts else [*_beside_verdicts(data)]
    body = "\n".join([_top(data, title), *shown, _footer(data)])
    body = printing.shown(body)
    body = re.sub(r"(\d) %", "\\1\u00a0%", body)  # a number and its unit on one line
    return (
        "<!doctype html>\n"
        '<html lang="en" data-theme="light">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(printing.one_line(title))}</title>\n<style>\n{_file('report.css')}</style>\n</head>\n"
        f"<body>\n{body}\n{_script(data) if data.verdicts else ''}\n</body>\n</html>\n"
    )


def question(data: ReportData) -> str:
    """Return the question that the verdicts answer."""
    targets = list(dict.fromkeys(verdict.target for verdict in data.verdicts))
    on = listed(targets) if len(targets) <= 3 else f"{len(targets)} targets"
    return f"Which source and strategy help on {on or 'the target'}, and which hurt?"


def reach(data: ReportData) -> float:
    """Return the largest gain, in points, that the colours of heat maps tell apart."""
    found = [abs(v.gain) for v in data.verdicts if v.gain is not None]
    return max([10 * data.rules.margin, *found])


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _script(data: ReportData) -> str:
    sources = rows.sources_in_order(data.verdicts, data.called)
    specs = charts.templates(data.rules.margin, reach(data), sources)
    found = rows.payload(data, compiled(specs, themes.themes()))
    ours = "\n".join(_file(name) for name in SCRIPTS)
    return (
        f'<script type="application/json" id="data">{found}</script>\n'
        f"<script>{library()}</script>\n<script>\n{ours}</script>"
    )


def _top(data: ReportData, title: str) -> str:
    if not data.verdicts:
        return _nothing(data, title)
    told = answers(data)
    shown = "".join(_answer(answer) for answer in told[:12])
    rest = "".join(_answer(answer) for answer in told[12:])
    more = (
        f"<details><summary>{len(told) - 12} more targets and label budgets</summary>"
        f'<ul class="answers">{rest}</ul></details>'
        if rest
        else ""
    )
    lines = [*summary(data), *scores(data, told), *([data.common] if data.common else [])]
    lead = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return (
        '<a class="skip" href="#comparisons">Skip to all comparisons</a>\n'
        f'{_header(title)}<section id="answer"><h2>The answer</h2>\n<div class="lead">{lead}</div>'
        f'<h3>What to use</h3><ul class="answers">{shown}</ul>{more}\n'
        f"{_counts(counts(data), data)}</section>"
    )


_THEME = '<button type="button" id="theme" aria-label="Change between light and dark">Dark</button>'


def _header(title: str, tools: str = _THEME) -> str:
    return (
        '<header class="top"><div class="kicker"><span>transfergrid report</span>'
        f"{tools}</div>\n<h1>{escape(title)}</h1></header>\n<main>\n"
    )


def _nothing(data: ReportData, title: str) -> str:
    """Return the top of a page without any comparison."""
    why = f"; {len(data.failed)} failed, see below" if data.failed else ""
    return (
        f'{_header(title, "")}<section id="answer"><h2>The answer</h2>\n<div class="lead">'
        "<p>None yet: "
        f"no cell is compared with a baseline{why}.</p></div></section>"
    )


CORRECTIONS = {"holm": "Holm", "bh": "Benjamini–Hochberg", "none": "not at all"}
_HOW_ANSWERED = (
    "The arm to use is chosen by its score on validation alone; its gain over the baseline is then "
    "read on the test set, with a 95 % interval that holds for all arms it was chosen from. The "
    "same lucky seeds choose and score: what arms gain in a seed that had no part in their choice "
    "stands beside it. “Helped” and “hurt” are said only where a test that is corrected for the "
    "number of comparisons shows it."
)


def _answer(answer: Answer) -> str:
    kind = answer.kind.key if answer.kind else "none"
    badge = pieces.badge(answer.kind) if answer.kind else '<span class="badge none">–</span>'
    where = f"<b>{escape(answer.target)}, {escape(labels_of([answer]))}</b>"
    return f'<li class="{kind}-answer"><p>{badge}</p><p>{where}: {escape(answer.sentence)}</p></li>'


def _counts(found: Counts, data: ReportData) -> str:
    words = {
        Kind.POSITIVE: "proven to help",
        Kind.NEGATIVE: "proven to hurt: negative transfer",
        Kind.EQUIVALENT: f"no difference beyond ±{data.rules.margin:g} points",
        Kind.HARM_RULED_OUT: f"harm ruled out: if a loss, one of less than {_points(data)}",
        Kind.GAIN_RULED_OUT: f"gain ruled out: if a gain, one of less than {_points(data)}",
        Kind.UNDECIDED: _undecided(found),
    }
    tiles = "".join(
        f'<li class="{kind.key}"><b>{rows.MARKS[kind]} {found.kinds[kind]}</b>'
        f"<span>{escape(text)}</span></li>"
        for kind, text in words.items()
    )
    total = sum(found.kinds.values())
    if not total:
        return '<p class="how">No source is compared with a baseline, only arms without one.</p>'
    aside = f" {found.aside} placebos and controls are not counted." if found.aside else ""
    if found.not_compared:
        aside += f" {found.not_compared} arms share no seed with their baseline: not compared."
    return (
        f'<h3>{total} comparisons of a source with its baseline</h3><ul class="counts">{tiles}</ul>'
        f'<p class="how">With the false discovery rate held over the whole grid '
        f"(Benjamini–Hochberg), {found.helped_overall} of these gains and {found.hurt_overall} "
        f"of these losses stand.{aside}</p>{_warnings(found)}"
        f'<p class="how">{_HOW_ANSWERED}</p>'
    )


def _points(data: ReportData) -> str:
    margin = data.rules.margin
    return f"{margin:g} point{'s' if margin != 1 else ''}"


def _warnings(found: Counts) -> str:
    """Say what keeps proven verdicts from meaning much."""
    told = (
        (
            found.fragile,
            "rest on collapsed or underfit runs, of the arm or of its baseline: without these they "
            "would be other verdicts",
        ),
        (
            found.weak,
            "are gains over a baseline that scores below logistic_regression, a classical learner "
            "on the target labels alone",
        ),
    )
    lines = "".join(
        f"<li><b>{count}</b> of the proven ones {text}.</li>" for count, text in told if count
    )
    return f'<ul class="lines">{lines}</ul>' if lines else ""


def _undecided(found: Counts) -> str:
    if not found.kinds[Kind.UNDECIDED]:
        return "undecided"
    if found.seeds is None:
        return "undecided: more seeds alone would not tell"
    told = f"a median of {found.seeds} more seeds would tell"
    if not found.without_seeds:
        return f"undecided: {told}"
    some = found.kinds[Kind.UNDECIDED] - found.without_seeds
    return f"undecided: {told} {some} of them; for {found.without_seeds}, seeds alone would not do"


def _filters(data: ReportData) -> str:
    shown = data.verdicts
    sources = rows.source_names(shown, data.called)
    budgets = {str(v.labels): budget(v.labels) for v in pieces.by_budget(shown)}
    kinds = {kind.value: f"{rows.MARKS[kind]} {SAID[kind]}" for kind in Kind}
    chosen = [
        pieces.select("target", "target", {v.target: v.target for v in shown}),
        pieces.select("labels", "labels", budgets),
        pieces.select("source", "source", {name: name for name in sorted(set(sources))}),
        pieces.select("strategy", "strategy", {n: n for n in sorted({v.strategy for v in shown})}),
        pieces.select("verdict", "verdict", kinds),
    ]
    return (
        '<form id="filters" class="filters" aria-label="Filter figures and table" '
        f'autocomplete="off">{"".join(chosen)}'
        '<label class="tick"><input type="checkbox" name="aside" checked>placebos, controls</label>'
        '<button type="reset">reset</button><output id="shown" aria-live="polite"></output></form>'
    )


def _sections(data: ReportData) -> Iterable[str]:
    margin = f"±{data.rules.margin:g} points"
    yield from _named(data, "leaderboard")
    yield pieces.charted(
        "map",
        "Where it helps and where it hurts",
        "A cell is the gain, in points, of one source (column) with one strategy (row) over its "
        "baseline: blue above, orange below. The mark and the hatching tell the verdict.",
        "heatmap",
        pieces.legend(hatched=True),
    )
    yield pieces.charted(
        "gains",
        "Gains with intervals",
        "A mark is an arm's mean gain, its line the 95 % interval (not corrected). The grey band "
        f"is {margin}, inside which no difference matters. Placebos, last, carry no knowledge of "
        "a source: a gain that they share is not transfer.",
        "forest",
        pieces.legend(),
    )
    yield from _named(data, "over_plain", "references")
    yield pieces.charted(
        "labels",
        "Gains over label budgets",
        "A line that falls to the grey band shows from how many labels on a source no longer "
        "helps. Intervals are 95 %, not corrected; “all” is sampled otherwise, so no line leads to "
        "it.",
        "labels",
        width="small",
    )
    yield from _named(data, "crossover")
    yield pieces.charted(
        "steps",
        "While they learn",
        "Mean validation score over training steps: each line with marks is a source, the dashed "
        "one is the baseline. The test set is read once, at the end.",
        "steps",
        width="small",
    )
    yield pieces.charted(
        "cost",
        "Gain against time",
        "Up is more gain, left is less time. No arm beats those on the dashed line on both.",
        "cost",
        '<p><label><input type="checkbox" id="with-source"> add the time of making the source'
        "</label></p>" + pieces.legend(),
    )
    yield from _named(data, "scorecard")
    yield pieces.charted(
        "scores",
        "Scores and gains",
        "Each point is a source with a strategy: a score that tells rises from left to right. "
        "Placebos are left out.",
        "scores",
        width="small",
    )
    placed = ("leaderboard", "over_plain", "crossover", "scorecard", "references")
    yield from _named(data, *(one.name for one in data.sections if one.name not in placed))
    yield _table(data)
    yield from _beside_verdicts(data)


def _beside_verdicts(data: ReportData) -> Iterable[str]:
    yield _not_there(data)
    yield _declared(data)


def _named(data: ReportData, *names: str) -> Iterable[str]:
    return (pieces.section(found) for found in data.sections if found.name in names)


def _table(data: ReportData) -> str:
    return (
        '<section id="comparisons"><h2>All comparisons</h2><p class="how">A heading sorts; ▸ opens '
        "a row: its cells, every seed's gain, and what its config has otherwise than the "
        "baseline's. Detectable is the smallest gain that would have been found.</p>"
        '<div class="scroll"><table aria-label="All comparisons"><thead id="head"></thead>'
        f'<tbody id="body"></tbody></table></div><button type="button" class="more" id="more" '
        f"hidden></button>\n<noscript>{pieces.plain(data.verdicts)}</noscript></section>"
    )


def _not_there(data: ReportData) -> str:
    if not data.failed and not data.skipped:
        return ""
    parts = [
        pieces.reasons(f"{len(told)} cells {what}", told)
        for what, told in (("failed", data.failed), ("were left out", data.skipped))
        if told
    ]
    return (
        '<section id="missing"><h2>What is not there</h2><p class="how">Cells without a result, by '
        f"reason; they are in no number above.</p>{''.join(parts)}</section>"
    )


def _declared(data: ReportData) -> str:
    rules = data.rules
    lines = [
        f"A verdict is, in this order: no difference, if the gain is shown to lie within "
        f"±{rules.margin:g} points; helped or hurt, if a two-sided test at {rules.alpha:g}, "
        f"corrected ({CORRECTIONS.get(rules.correction, rules.correction)}) over the comparisons "
        "of one target, label budget and "
        "baseline, rejects that there is none; harm ruled out, if a loss of the margin or more is "
        "rejected, one-sided at half that level, and gain ruled out, if a gain of it is; else "
        "undecided.",
        "Rare bad seeds are what “harm ruled out” cannot see: of n seeds that all went well, a "
        "share of bad ones up to 1 − .05^(1/n) could have stayed unseen (45 % with five, 26 % "
        "with ten). Likewise the notes say where collapses that the runs so far cannot exclude "
        "would undo a verdict.",
        "Gains are paired by seed. Where predictions of each test item are kept, the interval "
        "covers new seeds and new test items, or new groups of them (patients, authors, films).",
        *data.declaration,
    ]
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        '<section id="declared"><h2>How this was decided</h2><p class="how">The rules of a '
        "verdict, and what was declared before any result was looked at.</p>"
        f'<ul class="lines">{listed}</ul></section>'
    )


def _footer(data: ReportData) -> str:
    return f"</main>\n<footer>{'<br>'.join(escape(line) for line in data.made)}</footer>"
