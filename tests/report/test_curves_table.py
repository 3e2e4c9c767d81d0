"""Curves in a terminal and for programs say what they know, and what they do not, in words."""

import csv
import io
import json
from dataclasses import asdict, replace

import pytest

from curve_records import study
from transfergrid.evidence.curves.assembly import label_curves
from transfergrid.evidence.curves.crossover import Crossover
from transfergrid.records.errors import BadInputError
from transfergrid.report.tables.sheet import render as written
from transfergrid.report.views.curves_table import sheet


def render(curves, none=(), **options):
    return written(sheet(curves, none), **options)


@pytest.fixture(scope="module")
def found():
    records, kept = study((2, 20, "all"))
    return label_curves(records, kept.__getitem__)


def test_the_table_fits_a_terminal_and_names_what_it_shows(found):
    text = render(*found)
    assert max(map(len, text.splitlines())) <= 80
    for word in ("jumpstart", "asymptotic", "Crossover", "between 2 and 20 a class", "beside"):
        assert word in text
    assert "nan" not in text.lower().replace("nance", "")
    assert "no common part: the source alone takes 1,600" in text


def test_past_the_crossover_transfer_is_not_said_to_be_of_no_help(found):
    """Where the gain is no longer shown it may still be there."""
    (curve,), _ = found
    crossing = Crossover("between", after=2.0, before=20.0, value=7.04, low=3.0, n=3)
    lasting = replace(crossing, value=None)
    for cross, told in (
        (crossing, "between 2 and 20 a class, mean 0 at 7.0 [3.0, –]"),
        (lasting, "between 2 and 20 a class, mean above 0 [3.0, –]"),
    ):
        text = render([replace(curve, measures=replace(curve.measures, crossover=cross))])
        assert told in text
        assert "Crossover: where the gain's uncorrected interval leaves the side above zero" in text
        assert "no longer helps" not in text


def test_names_give_way_where_the_terminal_is_narrow(found):
    (curve,), _ = found
    long = replace(curve, source="a_source_of_a_long_name", strategy="feature_extraction")
    lines = render([long, replace(long, source="a_source_of_another_name")]).splitlines()
    assert max(map(len, lines)) <= 80


def test_an_ascii_terminal_gets_ascii_alone(found):
    assert render(*found, ascii_only=True).isascii()


def test_markdown_has_a_table_for_each_kind_of_measure(found):
    assert render(*found, format="markdown").count("| source | strategy |") == 7


def test_json_holds_points_and_measures(found):
    (curve,) = json.loads(render(*found, format="json"))
    assert [point["x"] for point in curve["points"]] == [2, 20]
    assert curve["measures"]["crossover"]["kind"] == "between"
    assert curve["against"] == "labels"


def test_csv_has_a_line_for_each_measure_charged_and_not(found):
    lines = list(csv.DictReader(io.StringIO(render(*found, format="csv"))))
    jumps = [line for line in lines if line["measure"] == "jumpstart"]
    assert [line["charged"] for line in jumps] == ["False", "True"]
    assert jumps[1]["value"] == ""
    assert "no common part" in jumps[1]["note"]


def test_no_curves_are_told_with_their_reason():
    text = render(*label_curves(study((20,))[0]))
    assert text.startswith("No curves.")
    assert "1 arm without a curve" in text


def test_an_unknown_format_is_bad_input(found):
    with pytest.raises(BadInputError, match="unknown format"):
        render(*found, format="xml")


def test_of_numbers_no_class_and_no_point_is_named(found):
    (curve,), _ = found
    first, last = (
        replace(point, arm_mean=mean, baseline_mean=base, gain=base - mean, gain_low=0.011)
        for point, mean, base in zip(curve.points, (0.031, 0.024), (0.052, 0.043), strict=True)
    )
    gain = replace(curve.measures.jumpstart, value=0.021, low=0.011, high=0.031)
    of = replace(
        curve, metric="mae", unit="", points=(first, last), beside=None, notes=(),
        measures=replace(curve.measures, jumpstart=gain),
    )  # fmt: skip
    text = render([of])
    assert "mae · against labels in total: 2, 20" in text
    assert "jumpstart, 2 in total" in text
    assert "↑ +0.02100 [+0.01100, +0.03100]" in text
    assert "Gains are in the metric's units, more is better" in " ".join(text.split())
    for word in ("a class", "classes", " points", "chance", "accuracy"):
        assert word not in text


def test_a_curve_as_json_is_what_its_fields_say(found):
    curves, _ = found
    told = json.loads(render(curves, format="json"))
    assert told == json.loads(json.dumps([asdict(curve) for curve in curves]))
