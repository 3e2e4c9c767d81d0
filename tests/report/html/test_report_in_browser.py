"""The page in a browser without a screen."""

import os
import random
import shutil

import pytest
from made_report import ATTACK, cells_of, small_report, verdict

from transfergrid.evidence.several.affinity import Pair
from transfergrid.report.html.data import Section
from transfergrid.report.html.page import page
from transfergrid.report.wording.words import number

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
found = [os.environ.get("CHROMIUM", ""), *(shutil.which(name) or "" for name in NAMES)]
EXECUTABLE = next((path for path in found if path), None)
pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no chromium here")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(small_report()), encoding="utf-8")
    return path


@pytest.fixture
def show(browser):
    """Open a file; at the end nothing may have been complained of or asked of a network."""
    contexts, said = [], []

    def opened(path, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda asked: asked.url.startswith("file:") or said.append(asked.url))
        shown.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            shown.evaluate("drawAll()")
        return shown

    yield opened
    for context in contexts:
        context.close()
    assert said == []


def column(shown, number):
    cells = shown.locator(f"#body tr[data-row] td:nth-child({number})").all_inner_texts()
    return [cell.replace("▸", "").strip() for cell in cells]


def test_every_chart_is_drawn(show, file):
    shown = show(file)
    drawn = shown.locator(".chart svg").count()
    assert drawn == shown.locator(".chart").count()
    for kind in ("heatmap", "forest", "labels", "cost", "steps", "scores"):
        assert shown.locator(f'[data-chart="{kind}"] svg').count() > 0, kind
    assert "▲ +6.0" in shown.locator('[data-chart="heatmap"] svg').first.text_content()


def test_the_matrix_of_tasks_is_drawn_whatever_the_filters_leave(show, tmp_path):
    told = {"labels": "all", "beside_labels": "all", "as_source": True}
    pairs = tuple(
        Pair(task=one, beside=other, verdict=verdict(gain=6.0, baseline="alone"), **told)
        for one, other in (("letters", "digits"), ("digits", "letters"), ("digits", "digits"))
    )
    path = tmp_path / "report.html"
    sections = (Section("tasks", chart="affinity"),)
    path.write_text(page(small_report(pairs=pairs, sections=sections)), encoding="utf-8")
    shown = show(path)
    drawn = shown.locator('[data-chart="affinity"] svg')
    assert drawn.count() == 1
    assert {"letters", "digits", "▲ +6.0"} <= set(drawn.locator("text").all_text_contents())
    label = shown.locator('[data-chart="affinity"] .chart').get_attribute("aria-label")
    assert "3 helped" in label
    shown.select_option("#filters [name=source]", "insects")
    shown.evaluate("drawAll()")
    assert shown.locator('[data-chart="affinity"] svg').count() == 1


def test_filters_narrow_table_and_charts_alike(show, file):
    shown = show(file)
    shown.select_option("#filters [name=source]", "insects")
    assert set(column(shown, 2)) == {"insects"}
    assert shown.locator("#shown").inner_text() == "3 of 8 comparisons"
    shown.evaluate("drawAll()")
    assert "birds" not in shown.locator('[data-chart="forest"]').text_content()
    shown.select_option("#filters [name=verdict]", "negative")
    assert column(shown, 1) == ["▼ hurt"]
    shown.click("#filters [type=reset]")
    shown.wait_for_function("document.getElementById('shown').textContent.startsWith('8 ')")
    shown.uncheck("#filters [name=aside]")
    assert "placebo" not in column(shown, 2)


def test_filters_work_by_keyboard(show, file):
    shown = show(file)
    shown.focus("#filters [name=labels]")
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("ArrowDown")
    assert set(column(shown, 4)) == {"all"}


def test_script_and_page_write_a_number_alike(show, file):
    """Ties go to the even digit, zero has no minus."""
    generator = random.Random(0)
    values = [generator.uniform(-100, 100) for _ in range(300)]
    values += [n / 4 for n in range(-9, 400)] + [n / 16 for n in range(-40, 40)] + [0.15, 99.95]
    values += [1.234e4, -9.9e5, 0.04999, -0.04, -0.0004, 81.249999]
    shown = show(file)
    for digits, unit in ((1, "%"), (3, "")):
        write = "([all, digits]) => all.map((x) => number(x, digits, true))"
        told = shown.evaluate(write, [values, digits])
        assert told == [number(value, unit, signed=True) for value in values]
    assert shown.evaluate("[0.04, 2.345, 12.4, 123.4].map(seconds)") == [
        "0.040",
        "2.3",
        "12",
        "123",
    ]


def test_headings_sort_by_keyboard_and_say_so(show, file):
    shown = show(file)
    head = shown.locator("th[data-name=gain]")
    head.locator("button").focus()
    shown.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    gains = [float(text) for text in column(shown, 6)]
    assert gains == sorted(gains)
    shown.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in column(shown, 6)] == sorted(gains, reverse=True)
    outline = head.locator("button").evaluate("one => getComputedStyle(one).outlineStyle")
    assert outline == "solid", "the focus can be seen"


def test_a_row_opens_to_its_cells_and_configs(show, file):
    shown = show(file)
    shown.focus("#body tr[data-row='0'] .expand")
    shown.keyboard.press("Enter")
    told = shown.locator("tr.detail").inner_text()
    data = small_report()
    for cell in (*data.verdicts[0].cells, *data.verdicts[0].baseline_cells):
        assert cell in told
    assert "strategy.lr" in told
    assert "scratch_converged" in told, "the exploratory baseline"
    shown.keyboard.press("Enter")
    assert shown.locator("tr.detail").count() == 0


def test_a_mark_leads_to_its_row(show, file):
    shown = show(file)
    shown.locator('[data-chart="heatmap"] svg .mark-text.layer_2_marks text').first.click()
    assert shown.locator("tr.detail").count() == 1


def test_dark_as_the_system_says_and_as_the_reader_chooses(show, file):
    shown = show(file, color_scheme="dark")

    def paper():
        return shown.evaluate("getComputedStyle(document.body).backgroundColor")

    dark = paper()
    text = shown.locator(".chart text").first.evaluate("one => getComputedStyle(one).fill")
    assert sum(map(int, dark[4:-1].split(","))) < 150
    assert sum(map(int, text[4:-1].split(","))) > 450
    shown.click("#theme")
    assert paper() != dark
    shown.emulate_media(media="print")
    assert paper() == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_scrolls_in_one_direction_only(show, file, width):
    shown = show(file, width=width)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    caption = shown.evaluate(
        """() => {
        const [table] = document.querySelectorAll("main .scroll > table, .scroll > table")
        table.createCaption().textContent = "digits"
        return table.caption.offsetWidth / table.parentElement.clientWidth
    }"""
    )
    assert caption > 0.8, "a line of its own, not a column beside"


def test_without_script_the_numbers_are_there(show, file):
    shown = show(file, java_script_enabled=False)
    assert shown.locator("noscript table").is_visible()
    assert shown.locator("noscript tbody tr").count() == 8


def test_names_do_no_harm(show, tmp_path):
    found = (
        verdict(ATTACK, ATTACK, target=ATTACK, notes=(ATTACK,), baseline=ATTACK),
        verdict(ATTACK, ATTACK, target=ATTACK, baseline=ATTACK, labels="all"),
    )
    path = tmp_path / "attacked.html"
    path.write_text(page(small_report(verdicts=found, cells=cells_of(found))), encoding="utf-8")
    shown = show(path)
    shown.evaluate("openRow(0)")
    assert shown.evaluate("window.hacked") is None
    assert ATTACK in shown.locator("#body").inner_text()


def test_many_rows_come_a_hundred_at_a_time(show, tmp_path):
    many = tuple(verdict(f"s{i:03}", f"m{i % 7}", target=f"t{i % 4}") for i in range(250))
    path = tmp_path / "many.html"
    path.write_text(page(small_report(verdicts=many, steps=(), scores=())), encoding="utf-8")
    shown = show(path)
    assert shown.locator("#body tr").count() == 100
    shown.focus("#more")
    shown.keyboard.press("Enter")
    assert shown.locator("#body tr").count() == 200
    shown.evaluate("openRow(249)")
    assert shown.locator("tr[data-row='249'] + tr.detail").count() == 1
