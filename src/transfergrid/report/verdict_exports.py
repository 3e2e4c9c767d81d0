"""Verdicts for papers and for programs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.verdicts import FIELDS, TRANSFER, Verdict
from transfergrid.records.printing import one_line
from transfergrid.report import verdict_words as said
from transfergrid.report.escaping import CsvWriter, in_markdown, markdown_row
from transfergrid.report.foreseen import cannot_tell, needed, sees
from transfergrid.report.verdict_legend import Notes


def as_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return plain rows, ready for JSON or a data frame; None is what the data cannot tell."""
    return [verdict.as_dict() for verdict in verdicts]


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Write a list of rows, one a line: laid out further, ten thousand would take seconds."""
    rows = (json.dumps(row, allow_nan=False, ensure_ascii=False) for row in as_rows(verdicts))
    return "[\n" + ",\n".join(rows) + "\n]\n"


def as_csv(verdicts: Sequence[Verdict]) -> str:
    """Write one line per row; an empty field is what the data cannot tell.

    Where JSON has a list, as in `notes`, the field holds its JSON text.
    """
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.row(FIELDS)
    for row in as_rows(verdicts):
        writer.row(
            json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
            for value in row.values()
        )
    return text.getvalue()


def as_markdown(verdicts: Sequence[Verdict], footer: Sequence[str], correction: str) -> str:
    """Write one table per target and label budget, with its baselines named."""
    notes = Notes(verdicts)
    parts = [_markdown_section(section, notes, correction) for section in said.sections(verdicts)]
    told = "".join(f"{_bullet(line)}{in_markdown(line.strip())}\n" for line in footer)
    return "\n".join([*(parts or ["Nothing to compare yet.\n"]), told])


def _markdown_section(section: Sequence[Verdict], notes: Notes, correction: str) -> str:
    name, *rest = said.title(section).split(" · ")
    lines = [
        f"### {in_markdown(name)}, {in_markdown(', '.join(rest))}",
        "",
        *([in_markdown(said.beside(section)), ""] if said.beside(section) else []),
        "| source | strategy | score | n | gain [95 %, uncorrected] | p corrected | verdict "
        "| if undecided | notes |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | --- | --- |",
    ]
    for group in said.groups(section):
        lines.append(f"| *{in_markdown(_heading(group, correction))}* |{' |' * 8}")
        for kind, members in groupby(group, key=lambda v: v.kind):
            if kind != TRANSFER:
                lines.append(f"| *{said.APART[kind]}: not in the family* |{' |' * 8}")
            lines += [_markdown_row(verdict, notes) for verdict in members]
    return "\n".join([*lines, ""])


def _heading(group: Sequence[Verdict], correction: str) -> str:
    return said.header(group, correction).lstrip("─ ")


def _markdown_row(verdict: Verdict, notes: Notes) -> str:
    cells = (*_cells(verdict), said.outcome(verdict), sees(verdict), notes.letters(verdict))
    return markdown_row(cells)


def _cells(verdict: Verdict) -> tuple[str, ...]:
    """Return source, strategy, score, seeds, gain with its interval, and p."""
    p = verdict.p if verdict.p_corrected is None else verdict.p_corrected
    gain = f"{said.gain(verdict)} {said.interval(verdict)}".strip()
    scored = (said.score(verdict), str(verdict.n), gain, said.p_value(p))
    return (said.source(verdict), verdict.strategy, *scored)


def _bullet(line: str) -> str:
    return "  - " if line.startswith(" ") else "- "


def as_latex(verdicts: Sequence[Verdict], footer: Sequence[str], correction: str) -> str:
    r"""Write one tabular per target and label budget; needs \usepackage{booktabs} alone."""
    notes = Notes(verdicts)
    parts = [_latex_section(section, notes, correction) for section in said.sections(verdicts)]
    told = "".join(f"{in_latex(line.strip())}\\par\n" for line in footer)
    closing = f"{{\\footnotesize\\noindent\n{told}}}\n"
    return "% needs \\usepackage{booktabs}\n" + "\n".join([*parts, closing])


_LATEX_COLUMNS = (
    *("source", "strategy", "score", "$n$", r"gain [95\,\%]", "$p$", "verdict"),
    *(r"sees $\ge$", "more seeds", ""),
)


def _latex_section(section: Sequence[Verdict], notes: Notes, correction: str) -> str:
    lines = [
        r"{\footnotesize\setlength{\tabcolsep}{3pt}",
        r"\begin{tabular}{@{}llrrrrlrrl@{}}",
        r"\toprule",
        _wide(r"\textbf{" + in_latex(said.title(section)) + "}"),
        " & ".join(_LATEX_COLUMNS) + r" \\",
    ]
    for group in said.groups(section):
        lines += [r"\midrule", _wide(rf"\textit{{{in_latex(_heading(group, correction))}}}")]
        for kind, members in groupby(group, key=lambda v: v.kind):
            if kind != TRANSFER:
                told = f"{said.APART[kind]}: not in the family"
                lines += [r"\addlinespace", _wide(rf"\textit{{{in_latex(told)}}}")]
            lines += [_latex_row(verdict, notes) for verdict in members]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}\par}", r"\medskip", ""])


def _wide(text: str) -> str:
    return rf"\multicolumn{{{len(_LATEX_COLUMNS)}}}{{@{{}}l@{{}}}}{{{text}}} \\"


def _latex_row(verdict: Verdict, notes: Notes) -> str:
    cells = [in_latex(cell) for cell in _cells(verdict)]
    cells[4] = _minus(cells[4])
    word = str(verdict.verdict) + (" (beyond)" if len(said.mark(verdict)) == 2 else "")
    seen = seeds = ""
    if verdict.verdict is Kind.UNDECIDED:
        if verdict.detectable is not None and not cannot_tell(verdict):
            seen = said.number(verdict.detectable, verdict)
        seeds = "" if verdict.seeds_needed is None else needed(verdict)
    letters = notes.letters(verdict)
    marked = f"$^{{\\mathrm{{{letters}}}}}$" if letters else ""
    return " & ".join([*cells, word, seen, seeds, marked]) + r" \\"


def _minus(text: str) -> str:
    """Set signs as signs and not as hyphens."""
    return re.sub(r"([+-])([\d.]+)", r"$\1\2$", text)


_IN_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "≈": r"$\approx$",
    "–": "--",
    "─": "---",
    "…": r"\dots{}",
    "▲": r"$\bigtriangleup$",
    "▼": r"$\bigtriangledown$",
    "►": r"$\triangleright$",
    "◄": r"$\triangleleft$",
    "\n": " ",
}


def in_latex(text: str) -> str:
    """Return text as LaTeX sets it in a line of words; letters of other scripts stay as they are.

    A brace after `[` keeps a row that starts with one from being read as an option of the line
    break before it.
    """
    line = one_line(text.replace("\n", " "))
    written = "".join(_IN_LATEX.get(character, character) for character in line)
    return re.sub(r"^\[", "{[}", written)
