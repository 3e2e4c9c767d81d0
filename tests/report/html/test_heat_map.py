"""One heat map, wherever it is shown."""

import io
from dataclasses import replace

import pytest
from made_report import small_report, verdict
from PIL import Image

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import PLACEBO
from transfergrid.report.exports import verdict_run
from transfergrid.report.html.figures import figures
from transfergrid.report.html.heat_map import heat_maps
from transfergrid.report.html.rows import page_rows


def drawn(*verdicts):
    (found,) = heat_maps(small_report(verdicts=verdicts, over_baselines={}))
    return found


def test_paper_and_tracker_are_given_the_very_same_picture():
    told = tuple(v for v in small_report().verdicts if v.labels == 20)
    (paper,) = (f for f in figures(small_report(verdicts=told)) if f.name.startswith("heatmap"))
    ((caption, tracked),) = verdict_run.heat_maps(told)
    assert caption == paper.title == "pets, 20 labels a class"
    both = [Image.open(io.BytesIO(png)).convert("RGB") for png in (paper.png(2), tracked)]
    assert both[0].tobytes() == both[1].tobytes()


def test_it_says_what_its_numbers_are():
    over = verdict("insects", "probe", 1.0, baseline="source_only")
    (first, *rest) = drawn(verdict(), verdict("insects"), over).spec["title"]["subtitle"]
    assert first == "gain in points of accuracy over scratch; probe over source_only"
    assert rest == [
        "▲ helped; ▼ hurt; ≈ no difference; ► harm ruled out; ◄ gain ruled out; ? undecided "
        "(hatched)"
    ]
    (first, *_) = drawn(verdict(metric="log_loss", unit="")).spec["title"]["subtitle"]
    assert first == "gain in log loss over scratch"


def test_what_all_sources_share_is_said_once():
    names = ("birds(architecture.size=64)", "insects(architecture.size=64)")
    figure = drawn(*map(verdict, names))
    assert "All sources: architecture.size=64." in figure.spec["title"]["subtitle"]
    assert [row["source"] for row in figure.rows] == ["birds", "insects"]


def test_a_placebo_is_told_as_one_unless_its_name_does():
    permuted, named = (
        replace(verdict(name, kind=Kind.NEGATIVE), kind=PLACEBO)
        for name in ("birds_permuted", "placebo_noise")
    )
    svg = drawn(verdict(), permuted, named).svg()
    assert "birds_permuted (placebo)" in svg
    assert "placebo_noise<" in svg


@pytest.mark.parametrize(("got", "told"), [(None, "20 labels a class"), ((5, 7), "5 to 7 labels")])
def test_a_place_is_called_by_the_labels_that_there_were(got, told):
    found = (verdict(labels_got=got), verdict("insects"))
    assert drawn(*found).title.startswith(f"pets, {told}")
    assert len({row["budget"] for row in page_rows(found, {})}) == 1, "else panels fall apart"


def test_colours_reach_as_far_as_the_largest_gain_and_ten_margins_at_least():
    def domain(*verdicts):
        (cells, *_) = drawn(*verdicts).spec["layer"]
        return cells["encoding"]["color"]["scale"]["domain"]

    assert domain(verdict(gain=3.0)) == [-10.0, 10.0]
    assert domain(verdict(gain=3.0), verdict("insects", gain=-40.0)) == [-40.0, 40.0]
