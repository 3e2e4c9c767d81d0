"""Colours that everybody can read."""

import re
from importlib import resources
from itertools import pairwise

import pytest

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.report.html import themes

KINDS = tuple(kind.key for kind in Kind)
THEMES = {"light": themes.LIGHT, "dark": themes.DARK}


def rgb(colour):
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(channels):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    """WCAG 2.2: (lighter + .05) / (darker + .05)."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", THEMES)
def test_numbers_can_be_read_on_every_cell_of_the_heat_map(name):
    colours = THEMES[name]
    stops = [rgb(colour) for colour in colours["diverging"]]
    for left, right in pairwise(stops):
        for share in (0, 0.25, 0.5, 0.75, 1):
            mixed = [(1 - share) * a + share * b for a, b in zip(left, right, strict=True)]
            assert contrast(rgb(colours["text"]), mixed) >= 4.5


@pytest.mark.parametrize("name", THEMES)
def test_marks_stand_out_from_the_paper(name):
    colours = THEMES[name]
    for kind in KINDS:  # WCAG 1.4.11: 3 to 1 for graphics
        assert contrast(rgb(colours[kind]), rgb(colours["paper"])) >= 3


@pytest.mark.parametrize("name", THEMES)
def test_words_on_badges_can_be_read(name):
    css = style(name)
    for kind in KINDS:
        assert contrast(rgb(css[kind]), rgb(css[f"{kind}-pale"])) >= 4.5
    for word, paper in (("text", "paper"), ("quiet", "paper"), ("quiet", "back")):
        assert contrast(rgb(css[word]), rgb(css[paper])) >= 4.5


def style(name):
    text = themes.variables()
    start = ":root {" if name == "light" else ':root[data-theme="dark"] {'
    block = text[text.index(start) : text.index("}", text.index(start))]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def test_the_style_sheet_names_no_colour_of_its_own():
    text = resources.files("transfergrid.report.html").joinpath("report.css").read_text()
    assert re.findall(r"#[0-9a-f]{3,8}\b", text) == []
    used = set(re.findall(r"var\(--([\w-]+)\)", text)) - {"focus", "link"}
    assert used <= set(style("light"))


@pytest.mark.parametrize("name", THEMES)
def test_style_sheet_and_charts_have_the_same_colours(name):
    css = style(name)
    ruled_out = ("harm_ruled_out", "gain_ruled_out")
    for colour in ("text", "quiet", "line", "paper", *KINDS[:3], *ruled_out):
        assert css[colour] == THEMES[name][colour]
