"""The page's text, without a browser."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import pytest
from jinja2 import UndefinedError
from made_report import ATTACK, small_report, verdict

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import CONTROL
from transfergrid.report.html.columns import count, written
from transfergrid.report.html.data import Section
from transfergrid.report.html.drawing import templates
from transfergrid.report.html.page import page, question
from transfergrid.report.tables.columns import TERMINAL, Column, Group, Table


class Reader(HTMLParser):
    """Gathers headings, ids and references to elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.elsewhere, self.open = [], [], [], []
        self.values = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.values += [found["value"]] if found.get("value") else []
        if "id" in found:
            self.ids.append(found["id"])
        self.elsewhere += [found[key] for key in ("src", "href") if key in found]


@pytest.fixture(scope="module")
def text():
    return page(small_report())


def test_nothing_is_referred_to_outside_the_page(text):
    found = Reader(text)
    assert found.elsewhere, "the way to the table"
    assert all(reference.startswith("#") for reference in found.elsewhere)
    assert "link" not in found.tags
    assert "default-src 'none'" in text


def test_headings_and_ids_are_in_order(text):
    found = Reader(text)
    assert found.tags.count("h1") == 1
    assert len(set(found.ids)) == len(found.ids)
    assert {"main", "header", "footer", "section"} <= set(found.tags)


def test_the_answer_stands_before_everything_else(text):
    body = text[text.index("<body>") :]
    assert body.index("full_finetuning of birds") < body.index('<form id="filters"')
    assert "+6.0 points over scratch" in body


def test_declaration_failures_and_origin_are_shown(text):
    assert "Declared 0123abcd" in text
    assert "out of memory" in text
    assert "Made from 45 cells." in text


def test_without_script_there_is_a_table_of_all(text):
    plain = re.search(r"<noscript><div.*?</noscript>", text, re.DOTALL)[0]
    assert plain.count("<tr>") == 1 + len(small_report().verdicts)
    assert "▼ hurt" in plain


def test_names_are_never_read_as_markup():
    table = replace(written((ATTACK, "b"), [(ATTACK, f"[{ATTACK}]")] * 13), title=ATTACK)
    attacked = small_report(
        verdicts=(verdict(ATTACK, ATTACK, target=ATTACK, notes=(ATTACK,), baseline=ATTACK),),
        sections=(one_section(table, lines=(ATTACK,), notes=(ATTACK, ATTACK)),),
        failed=((ATTACK, ATTACK),),
        skipped=((ATTACK, ATTACK),),
        declaration=(ATTACK,),
        made=(ATTACK, ATTACK),
        title=ATTACK,
    )
    text = page(attacked)
    assert "<script>window" not in text
    assert "<img src=x" not in text


def test_what_is_not_given_to_a_template_is_no_gap_on_the_page():
    with pytest.raises(UndefinedError, match="verdicts"):
        templates().get_template("page.html").render(data=object(), title="")


def test_a_filter_has_the_very_names_that_rows_have():
    name = "5 % noise\tof <a> & 'b'"
    text = page(small_report(verdicts=(verdict(name),), steps=(), scores=()))
    rows = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["rows"]
    assert rows[0]["source"] in Reader(text).values


def test_a_table_on_the_page():
    """Counts stand to the right, empty columns are left out, intervals are not broken in two."""
    told = [
        Column("same", lambda row: row[0]),
        count("same", lambda row: row[1]),
        Column("empty", lambda row: ""),
        Column("interval", lambda row: row[2]),
        Column("other", lambda row: "never", formats=(TERMINAL,)),
    ]
    rows = [("a", 1, ""), ("b", 2, "+1.5 [+1.0, +2.0]")]
    table = Table(told, [Group(rows)], title="5 % of all")
    text = page(small_report(sections=(one_section(table),)))
    drawn = re.search(r'<section id="flips">.*?</section>', text, re.DOTALL)[0]
    assert "<caption>5\u00a0% of all</caption>" in drawn
    assert re.findall(r"<th .*?</th>", drawn) == [
        '<th scope="col">same</th>',
        '<th scope="col" class="number">same</th>',
        '<th scope="col">interval</th>',
    ]
    assert re.findall(r"<td.*?</td>", drawn) == [
        '<td data-label="same">a</td>',
        '<td data-label="same" class="number">1</td>',
        '<td data-label="interval">–</td>',
        '<td data-label="same">b</td>',
        '<td data-label="same" class="number">2</td>',
        '<td data-label="interval">+1.5 <span class="keep">[+1.0, +2.0]</span></td>',
    ]


def one_section(*tables, **changes):
    return Section("flips", tables, **changes)


@pytest.mark.parametrize(("lines", "folded"), [(12, False), (13, True)])
def test_a_long_table_is_folded(lines, folded):
    section = one_section(written(("arm",), [("probe",)] * lines))
    text = page(small_report(sections=(section,)))
    assert (f"<summary>show all {lines} lines</summary>" in text) is folded


@pytest.mark.parametrize(("lines", "told"), [(12, None), (13, "show the other 3 lines")])
def test_the_first_lines_of_a_long_leaderboard_are_shown(lines, told):
    rows = [(f"line {number}",) for number in range(lines)]
    text = page(small_report(sections=(one_section(written(("arm",), rows), first=10),)))
    assert [text.count(f">line {number}<") for number in range(lines)] == [1] * lines
    assert (told is not None) == ("<summary>show the other" in text)
    if told:
        shown, folded = text.split(f"<summary>{told}</summary>")
        assert ">line 9<" in shown
        assert ">line 10<" in folded


def test_every_section_of_evidence_has_its_place_and_its_words():
    folder = resources.files("transfergrid.report.html")
    texts = [path.read_text() for path in folder.iterdir() if path.name.endswith(".py")]
    names = {name for text in texts for name in re.findall(r'\bSection\(\s*"(\w+)"', text)}
    assert {"leaderboard", "crossover", "flips", "classes", "why"} <= names
    text = page(small_report(sections=tuple(Section(name, lines=("told",)) for name in names)))
    for name in names:
        assert re.search(rf'<section id="{name}"><h2>\w.+?</h2><p class="how">\w.+?</p>', text), (
            name
        )


def test_no_reader_goes_through_more_lines_than_a_few_screens():
    text = page(small_report(sections=(one_section(written(("arm",), [("probe",)] * 153)),)))
    assert "<caption>The first 150 lines; 3 more are left out.</caption>" in text
    assert text.count('<td data-label="arm">probe</td>') == 150


def test_where_all_failed_the_page_says_so_and_why():
    none = {"verdicts": (), "over_baselines": {}, "sections": (), "steps": (), "scores": ()}
    text = page(small_report(**none))
    assert "no cell is compared with a baseline; 1 failed, see below" in text
    assert "out of memory" in text
    assert "<script" not in text, "nothing is left to draw"


def test_without_any_source_there_is_no_count_of_them():
    control = verdict(None, "scratch_converged", kind=Kind.UNDECIDED)
    text = page(small_report(verdicts=(replace(control, kind=CONTROL),), steps=(), scores=()))
    assert "No source is compared with a baseline" in text
    assert 'class="counts"' not in text


def test_the_question_names_the_targets():
    assert question(small_report()) == "Which source and strategy help on pets, and which hurt?"
    many = tuple(verdict(target=f"t{i}") for i in range(5))
    assert "5 targets" in question(small_report(verdicts=many))
