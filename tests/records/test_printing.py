"""No text commands a terminal, whatever it is of; what is said stays readable."""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from transfergrid.records import printing
from transfergrid.records.printing import coloured, in_one_line, one_line, say, shown
from transfergrid.report.tables.columns import Line, Medium, Page
from transfergrid.report.tables.layout import laid_out
from transfergrid.report.tables.terminal import Terminal

PACKAGE = Path(printing.__file__).parents[1]
ATTACKS = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b2J",
    "\x08",
    "a\rb",
    "\u202egnp",
    "\u2066x",
    "\u2028",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_commands_a_terminal_is_spelled_out_as_json_spells_it(attack):
    told = shown(f"name {attack} ü κ 名")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]", told)
    assert told.endswith(" ü κ 名")
    assert json.loads(f'"{told}"') == f"name {attack} ü κ 名"


def test_lines_and_tabs_are_ours_but_not_within_a_name():
    assert shown("a\tb\n") == "a\tb\n"
    assert one_line("a\tb\nc") == "a\\u0009b\\u000ac"


def test_colours_pass_where_there_are_colours_and_nothing_else_does():
    assert coloured("\x1b[1;31mred\x1b[0m\x1b[2J") == "\x1b[1;31mred\x1b[0m\\u001b[2J"


def test_a_coloured_table_has_our_colours_and_spells_out_those_of_names():
    page = Page([], below=[Line("\x1b[8mhidden", "red")])
    assert "\n\x1b[31m\\u001b[8mhidden\x1b[0m\n" in laid_out(page, Medium(), color=True)


def test_what_a_place_cannot_show_becomes_a_question_mark():
    place = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    say("κ \ud800", file=place)
    Terminal.of(place).write("κ\x1b[2J")
    place.flush()
    assert place.buffer.getvalue() == b"? ?\n?\\u001b[2J"


@dataclass(frozen=True)
class Row:
    name: str
    notes: tuple[str, ...] = ()
    value: float | None = None


def test_a_row_is_calmed_in_all_its_texts_and_left_alone_where_it_is_calm():
    calm = Row("a", ("b",), 1.0)
    assert in_one_line(calm) is calm
    assert in_one_line(Row("a\n", ("b\x1b", "c"))) == Row("a\\u000a", ("b\\u001b", "c"))


def test_nothing_is_printed_but_through_here():
    """A worker's answers are JSON for the process that started it; all else passes `say`."""
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"(?<![\w.])print\(", line) and "json.dumps" not in line
    ]
    assert found == []


def test_csv_is_written_in_one_place():
    found = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"csv\.(writer|DictWriter)", path.read_text(encoding="utf-8"))
    ]
    assert found == ["report/tables/escaping.py"]
