"""Pages as markdown and LaTeX, with all names escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from transfergrid.report.tables.columns import LATEX, MARKDOWN, Align, Column, Page, Table
from transfergrid.report.tables.escaping import in_latex, in_markdown, markdown_row, signed_in_latex


def in_markdown_page(page: Page) -> str:
    """Return a page as markdown: a table under each title, remarks as a list."""
    parts = [_markdown(table) for table in page.tables] or [f"{page.empty}\n"]
    told = [*page.above, *(line.text for line in page.lines())]
    return "\n".join([*parts, "".join(f"{_bullet(x)}{in_markdown(x.strip())}\n" for x in told)])


def _bullet(line: str) -> str:
    return "  - " if line.startswith(" ") else "- "


def _markdown(table: Table[Any]) -> str:
    title = in_markdown(table.title)
    lines = [f"{title}:" if table.inner else f"### {title}", ""] if title else []
    for line in table.above:
        lines += [in_markdown(line.text), ""]
    if table.rows:
        lines += [*markdown_lines(table), ""]
    return "\n".join(lines)


def markdown_lines(table: Table[Any]) -> Iterator[str]:
    """Yield the lines of a table in markdown, without its title."""
    columns = _shown(table, MARKDOWN)
    yield markdown_row(f"{c.over}, {_head(c)}" if c.over else _head(c) for c in columns)
    yield f"| {' | '.join('---' if c.align is Align.LEFT else '---:' for c in columns)} |"
    for group in table.groups:
        if group.heading:
            yield f"| *{in_markdown(group.heading)}* |{' |' * (len(columns) - 1)}"
        for row in group.rows:
            yield markdown_row(c.text(row) for c in columns)


def _shown(table: Table[Any], format: str) -> list[Column[Any]]:
    return [column for column in table.columns if format in column.formats]


def _head(column: Column[Any]) -> str:
    return column.head_in(MARKDOWN)


def in_latex_page(page: Page) -> str:
    r"""Return a page as LaTeX with one tabular per table; needs only \usepackage{booktabs}."""
    parts = [_latex(table) for table in page.tables] or [f"{in_latex(page.empty)}\n"]
    lines = [*page.above, *(line.text for line in page.lines())]
    told = "".join(f"{in_latex(line.strip())}\\par\n" for line in lines)
    closing = f"{{\\footnotesize\\noindent\n{told}}}\n"
    return "% needs \\usepackage{booktabs}\n" + "\n".join([*parts, closing])


def _latex(table: Table[Any]) -> str:
    columns = _shown(table, LATEX)
    if not table.rows:
        return f"\\noindent\\textbf{{{in_latex(table.title)}}}\\par\\medskip\n"
    wide = _wide(len(columns))
    aligned = "".join("l" if column.align is Align.LEFT else "r" for column in columns)
    return "\n".join(
        [
            r"{\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\begin{{tabular}}{{@{{}}{aligned}@{{}}}}",
            r"\toprule",
            *([wide(r"\textbf{" + in_latex(table.title) + "}")] if table.title else []),
            *(wide(in_latex(line.text)) for line in table.above),
            *_spans(columns),
            _row(column.heads.get(LATEX, in_latex(column.head)) for column in columns),
            *_groups(table, columns, wide),
            r"\bottomrule",
            r"\end{tabular}\par}",
            r"\medskip",
            "",
        ]
    )


def _groups(
    table: Table[Any], columns: Sequence[Column[Any]], wide: Callable[[str], str]
) -> Iterator[str]:
    for place, group in enumerate(table.groups):
        if place == 0 or (group.heading and not group.inner):
            yield r"\midrule"
        elif group.inner:
            yield r"\addlinespace"
        if group.heading:
            yield wide(rf"\textit{{{in_latex(group.heading)}}}")
        for row in group.rows:
            yield _row(_cell(column, row) for column in columns)


def _cell(column: Column[Any], row: Any) -> str:
    written = column.latex or (signed_in_latex if column.least is None else in_latex)
    return written(column.text(row))


def _row(cells: Iterator[str]) -> str:
    return " & ".join(cells) + r" \\"


def _wide(count: int) -> Callable[[str], str]:
    return lambda text: rf"\multicolumn{{{count}}}{{@{{}}l@{{}}}}{{{text}}} \\"


def _spans(columns: Sequence[Column[Any]]) -> Iterator[str]:
    """Yield the line of headers that span several columns, if there are any."""
    if any(column.over for column in columns):
        runs = [(over, len(list(found))) for over, found in groupby(columns, key=lambda c: c.over)]
        yield _row(rf"\multicolumn{{{n}}}{{r}}{{{in_latex(over)}}}" for over, n in runs)
