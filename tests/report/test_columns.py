"""One spec of columns is laid out for terminals of any width, and written in every format."""

import csv
import io
import json
import re

import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.report.tables.columns import (
    LATEX,
    MARKDOWN,
    TERMINAL,
    Align,
    Column,
    Group,
    Line,
    Medium,
    Page,
    Table,
)
from transfergrid.report.tables.sheet import FORMATS, Sheet, render

ROWS = [
    {"target": "digits, 20", "source": source, "strategy": strategy, "part": part, **gains}
    for source, strategy in (
        ("glyphs_of_many_hands", "domain_adversarial"),
        ("glyphs_of_few_hands", "domain_adversarial"),
    )
    for part, gains in (
        ("cat", {"gain": "+13.1 [-17.7, +33.8]", "then": "-5.0 ±1.0", "verdict": "? undecided"}),
        ("dog", {"gain": "-5.0 [-11.6, -4.5]", "then": "-15.0 ±1.0", "verdict": "▼ negative"}),
    )
]
NAMES = ("target", "source", "strategy")


def column(head, **options):
    return Column(head, lambda row: row[head], **options)


def sheet_of(columns, rows=ROWS, **options):
    page = Page([Table(columns, [Group(rows)])], **options)
    return Sheet(lambda _: page, lambda: rows)


def views(names_above=True):
    names = [column(name, least=9, key=names_above) for name in NAMES]
    rest = [column(key) for key in ("part", "gain", "then", "verdict")]
    return sheet_of([*names, *rest], names_above=names_above)


def shown(width, names_above=True):
    text = render(views(names_above), width=width)
    return text.splitlines()


# Where there is little room ----------------------------------------------------------------------


def test_a_wide_terminal_has_a_line_for_each_row():
    lines = shown(120)
    assert len(lines) == 5
    assert "…" not in "".join(lines)


def test_a_little_less_cuts_names_alone():
    lines = shown(95)
    assert len(lines) == 5
    assert max(map(len, lines)) <= 95
    assert any("…" in line for line in lines)
    assert all(row["gain"] in line for row, line in zip(ROWS, lines[1:], strict=True))


def test_where_little_would_be_left_of_names_they_stand_once_above_their_rows():
    lines = shown(80)
    assert lines[:2] == [
        "target  source  strategy",
        "  part  gain                  then        verdict",
    ]
    assert lines[2:5] == [
        "digits, 20  glyphs_of_many_hands  domain_adversarial",
        "  cat   +13.1 [-17.7, +33.8]  -5.0 ±1.0   ? undecided",
        "  dog   -5.0 [-11.6, -4.5]    -15.0 ±1.0  ▼ negative",
    ]
    assert lines[5] == "digits, 20  glyphs_of_few_hands  domain_adversarial"
    assert len(lines) == 8


def test_a_name_wraps_and_a_number_is_whole_however_narrow_it_is():
    lines = shown(40)
    for row in ROWS:
        assert sum(row["gain"] in line for line in lines) == 2  # once for each source
    assert any(line.endswith("domain_adversarial") for line in lines)


def test_names_that_do_not_go_above_are_cut_further():
    assert len(shown(84, names_above=False)) == 5
    assert max(map(len, shown(84, names_above=False))) <= 84


def test_what_finds_no_room_stands_below_with_the_names_beside_it_again():
    scores = {f"score_{i}": f"0.{i}" for i in range(6)}
    rows = [{"source": "a", **scores}, {"source": "b", **scores, "score_5": ""}]
    columns = [column("source", key=True), *(column(key, align=Align.RIGHT) for key in scores)]
    assert render(sheet_of(columns, rows), width=40) == (
        "source  score_0  score_1  score_2\n"
        "a           0.0      0.1      0.2\n"
        "b           0.0      0.1      0.2\n"
        "\n"
        "source  score_3  score_4  score_5\n"
        "a           0.3      0.4      0.5\n"
        "b           0.3      0.4\n"
    )


def test_a_row_that_says_nothing_in_a_part_is_not_in_it():
    rows = [{"rule": "t", "x" * 9: "1", "y" * 9: "2"}, {"rule": "u", "x" * 9: "3", "y" * 9: ""}]
    columns = [column("rule", key=True), column("x" * 9), column("y" * 9)]
    first, second = render(sheet_of(columns, rows), width=20).strip().split("\n\n")
    assert (first.splitlines()[-1], len(second.splitlines())) == ("u     3", 2)


def test_columns_below_one_header_stay_beside_each_other():
    over = dict(zip(("3", "5", "3 ", "5 "), ("normal",) * 2 + ("heavy tails",) * 2, strict=True))
    columns = [column("rule", key=True)]
    columns += [column(key, align=Align.RIGHT, over=told) for key, told in over.items()]
    rows = [{"rule": "t", **dict.fromkeys(over, "10")}]
    wide = render(sheet_of(columns, rows), width=40)
    assert wide.splitlines()[:3] == [
        "      normal  heavy tails",
        "rule   3   5       3   5",
        "t     10  10       10  10",
    ]
    narrow = render(sheet_of(columns, rows), width=24)
    assert [line.strip() for line in narrow.splitlines()[::4]] == ["normal", "heavy tails"]
    assert "| rule | normal, 3 | normal, 5 | heavy tails, 3" in render(
        sheet_of(columns, rows), "markdown"
    )


def test_long_texts_go_on_below_in_their_column():
    columns = [column("name"), column("help", wraps=True)]
    rows = [{"name": "lora", "help": "low ranks are learned beside frozen weights"}]
    lines = render(sheet_of(columns, rows), width=32).splitlines()
    assert [line[:6].strip() for line in lines[1:3]] == ["lora", ""]
    assert max(map(len, lines)) <= 32
    assert " ".join(" ".join(lines[1:]).split()) == "lora " + rows[0]["help"]
    assert render(sheet_of(columns, rows), width=None).splitlines()[1] == "lora  " + rows[0]["help"]


def test_what_may_stand_below_does_so_only_where_there_is_no_room_beside():
    columns = [column("gain"), column("sees", below="gain", formats=(TERMINAL,))]
    rows = [{"gain": "+1.0 [-2.0, +4.0]", "sees": "sees 5.0"}, {"gain": "+9.0", "sees": ""}]
    assert render(sheet_of(columns, rows), width=40).splitlines()[1].endswith("  sees 5.0")
    assert render(sheet_of(columns, rows), width=20).splitlines()[1:4] == (
        ["+1.0 [-2.0, +4.0]", "sees 5.0", "+9.0"]
    )


def test_numbers_end_below_each_other_whatever_follows():
    gains = ["↑ +9.5 [+5.2, +13.8]", "· -10.5 [-20.0, +1.0] a", "–", "2 in 12"]
    told = render(sheet_of([column("gain", align=Align.NUMBER)], [{"gain": g} for g in gains]))
    assert told.splitlines()[1:5] == (
        ["↑  +9.5 [+5.2, +13.8]", "· -10.5 [-20.0, +1.0] a", "–", "    2 in 12"]
    )


def test_tables_with_the_same_columns_are_laid_out_alike():
    columns = [column("name"), column("n")]
    groups = [[Group([{"name": name, "n": "1"}])] for name in ("a", "a_longer_name")]
    page = Page([Table(columns, group) for group in groups])
    lines = render(Sheet(lambda _: page, list)).splitlines()
    assert {line.index("1") for line in lines if "1" in line} == {len("a_longer_name") + 2}


# Formats -----------------------------------------------------------------------------------------

ODD = [{"name": "=a|b_50%<script>", "n": "+1.5", "hidden": ("x", 1)}]
SPEC = [
    column("name", least=8),
    column("n", align=Align.NUMBER, heads={LATEX: "$n$", MARKDOWN: "runs"}),
    column("name", formats=(LATEX,)),
]


def odd():
    groups = [Group(ODD, "over scratch"), Group(ODD, "placebos", inner=True)]
    table = Table(SPEC, groups, title="di|gits")
    return Sheet(lambda _: Page([table], below=["a: b", "  2 x c"]), lambda: ODD)


def test_every_table_is_written_in_every_format():
    for format in FORMATS:
        assert "script" in render(odd(), format)
    with pytest.raises(BadInputError, match="did you mean latex"):
        render(odd(), "latx")


def test_markdown_has_as_many_cells_in_every_line_and_no_markup_of_names():
    text = render(odd(), "markdown")
    assert text.startswith("### di\\|gits\n")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    assert lines[:4] == [
        "| name | runs |",
        "| --- | ---: |",
        "| *over scratch* | |",
        "| =a\\|b_50%&lt;script> | +1.5 |",
    ]
    assert text.endswith("- a: b\n  - 2 x c\n")


def test_latex_has_its_own_headers_and_columns_and_signs():
    text = render(odd(), "latex")
    assert r"\begin{tabular}{@{}lrl@{}}" in text
    assert r"name & $n$ & name \\" in text
    assert r"=a$|$b\_50\%$<$script$>$ & $+1.5$ & =a" in text
    assert text.count(r"\midrule") == text.count(r"\addlinespace") == 1


def test_programs_get_the_rows_as_they_are_and_no_formula():
    assert json.loads(render(odd(), "json")) == [{**ODD[0], "hidden": ["x", 1]}]
    (row,) = csv.DictReader(io.StringIO(render(odd(), "csv")))
    assert row == {"name": "'" + ODD[0]["name"], "n": "+1.5", "hidden": '["x", 1]'}
    empty = Sheet(lambda _: Page([]), list, keys=("a", "b"))
    assert (render(empty, "csv"), json.loads(render(empty, "json"))) == ("a,b\n", [])


def test_titles_are_joined_as_each_format_does():
    assert Medium().joined("digits", "", "5 seeds") == "digits · 5 seeds"
    assert Medium(MARKDOWN).joined("digits", "5 seeds") == "digits, 5 seeds"


def test_colours_are_of_the_terminal_alone_and_change_no_text():
    table = Table([column("n", style=lambda row: "green")], [Group([{"n": "+1"}])], title="t")
    sheet = Sheet(lambda _: Page([table], below=[Line("sum", "bold")]), list)
    plain, coloured = render(sheet), render(sheet, color=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "\x1b[32m+1\x1b[0m" in coloured
    assert "\x1b" not in render(sheet, "markdown", color=True)
