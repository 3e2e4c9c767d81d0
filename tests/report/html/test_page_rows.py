"""What the page's script is given."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_report import ATTACK, small_report, verdict

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.report.html.charts import counted
from transfergrid.report.html.drawing import templates
from transfergrid.report.html.rows import (
    NO_SOURCE,
    comparisons,
    front,
    page_rows,
    payload,
    source_names,
)
from transfergrid.report.wording.verdict_words import number

costs = st.floats(0.1, 100)
gains = st.floats(-20, 20)


@given(st.lists(st.tuples(costs, gains), min_size=1, max_size=12))
def test_nothing_beats_the_front_and_the_front_beats_the_rest(arms):
    def beats(a, b):
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    found = front([cost for cost, _ in arms], [gain for _, gain in arms])
    for i, arm in enumerate(arms):
        beaten = any(beats(other, arm) for other in arms)
        same = any(arms[j] == arm for j in found)
        assert same is not beaten, i
    by_cost = [arms[i][0] for i in found]
    assert by_cost == sorted(by_cost)


def test_charts_call_sources_by_what_differs_and_the_page_says_once_what_all_share():
    def long(name, **more):
        return verdict(f"{name}(architecture.size=64)", **more)

    data = small_report(
        verdicts=(long("birds"), long("insects"), verdict(None, "scratch_converged", 0.2)),
        over_baselines={"probe": (long("birds", gain=1.0),)},
        scores=(),
        steps=(),
    )
    told = payload(data, {})
    assert [row["source"] for row in told["rows"]] == ["birds", "insects", NO_SOURCE]
    assert [row["arm"] for row in told["rows"]][:2] == [
        "birds · full_finetuning",
        "insects · full_finetuning",
    ]
    assert told["over"]["probe"][0]["source"] == "birds"  # the only one there, and called the same
    assert data.common == "All sources: architecture.size=64."
    assert small_report().common == ""


def test_the_pages_data_holds_nothing_that_turns_the_writing_direction():
    data = small_report(verdicts=(verdict("a\u202eb\x1b[0m"),), scores=(), steps=())
    assert payload(data, {})["rows"][0]["source"] == "a\\u202eb\\u001b[0m"


def test_the_source_is_charged_on_the_second_front_only():
    cheap = verdict("birds", gain=2.0, seconds=1.0, source_seconds=100.0)
    dear = verdict("insects", gain=2.0, seconds=2.0)
    rows = page_rows([cheap, dear], {})
    assert [row.get("front") for row in rows] == ["a", None]
    assert [row.get("all_front") for row in rows] == [None, "a"]


def test_fronts_are_among_arms_over_one_baseline():
    rows = page_rows([verdict(gain=5.0), verdict("insects", gain=1.0, baseline="other")], {})
    assert [row["front"] for row in rows] == ["a", "a"]


def test_a_source_is_told_by_its_architecture_where_it_has_several():
    two = [verdict(), verdict(architecture="resnet50"), verdict(None)]
    assert source_names(two) == ["birds (resnet18)", "birds (resnet50)", NO_SOURCE]


def test_placebos_stand_last():
    rows = page_rows(small_report().verdicts, {})
    last = max(rows, key=lambda row: row["column"])
    assert last["source"] == "placebo"
    assert max(rows, key=lambda row: row["place"])["source"] == "placebo"


def test_the_payload_is_json_that_no_name_breaks_out_of():
    data = small_report(verdicts=(verdict(ATTACK),), remarks={0: ("</script>\u2028",)})
    text = templates().from_string("{{ found | tojson }}").render(found=payload(data, {}))
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text)["rows"][0]["source"] == ATTACK


def test_rows_lead_to_their_cells():
    found = payload(small_report(), {})
    for row in found["rows"]:
        assert len(row["cells"]) == len(row["gains"]) == len(row["seeds"])
        assert all(cell in found["cells"] for cell in row["cells"] + row["baseline_cells"])


def test_what_is_drawn_stays_within_the_metric_and_what_is_ruled_out_has_its_mark():
    wide = verdict("a", gain=10.0, low=-118.0, high=139.0, detectable=8e17, n=2)
    harm = verdict("b", verdict=Kind.HARM_RULED_OUT, gain=0.6)
    first, second = page_rows([wide, harm], {})
    assert (first["low"], first["high"]) == (-100, 100)
    assert "detectable" not in first
    assert (second["mark"], second["verdict"]) == ("►", "harm ruled out")


@given(st.floats(-12_000, 12_000), st.sampled_from(["%", ""]))
@example(1.22499227270522e-58, "")
def test_what_is_shortened_for_the_page_is_shown_as_the_number_itself(gain, unit):
    one = verdict(gain=gain, mean=gain, baseline_mean=0.0, unit=unit)
    (row,) = page_rows([one], {})
    assert number(row["mean"], one) == number(gain, one)
    assert row["shown"] == number(gain, one, signed=True)


@pytest.mark.parametrize(("unit", "mean", "digits", "shown"), [
    ("%", 3.0, 1, "+0.1"), ("", 0.7, 3, "+0.125"), ("", 45.0, 1, "+0.1"),
])  # fmt: skip
def test_a_verdict_is_written_with_the_decimals_that_terminals_give_it(unit, mean, digits, shown):
    (row,) = page_rows([verdict(gain=0.125, mean=mean, baseline_mean=mean, unit=unit)], {})
    assert (row["digits"], row["shown"]) == (digits, shown)


def test_shortening_never_makes_a_tie_of_what_is_none():
    """81.24999 is 81.2; as 81.25 it were a tie, and 123.4567 has more digits than five."""
    found = page_rows([verdict(mean=81.349999, unit="%"), verdict("b", mean=123.4567, unit="")], {})
    assert [f"{found[0]['mean']:.1f}", f"{found[1]['mean']:.3f}"] == ["81.3", "123.457"]
    assert page_rows([verdict(mean=81.333333)], {})[0]["mean"] == 81.333


NUMBERS = {"metric": "mae", "unit": "", "labels_are": "total", "point": 0.05, "baseline_mean": 5.0}


def test_of_numbers_what_could_be_seen_is_told_in_their_own_unit_and_sorted_in_points():
    one = verdict(gain=0.5, detectable=0.25, **NUMBERS)
    told = {each.by: each.column.text(("birds", one)) for each in comparisons([one])}
    assert (told["gain"], told["detectable"]) == ("+0.500", "0.250")
    (row,) = page_rows([one], {})
    assert (row["gain"], row["detectable"]) == (10.0, 5.0)


def test_all_labels_stand_apart_where_they_are_drawn_otherwise():
    classes, numbers = verdict(labels="all"), verdict(labels="all", **NUMBERS)
    rows = page_rows([classes, numbers], {})
    assert [row.get("apart") for row in rows] == [True, None]
    assert counted([classes]) == "labels a class"
    assert counted([numbers]) == "labels in total"
    assert counted([classes, numbers]) == "labels"


def test_each_row_has_its_margin_and_what_test_items_alone_leave_where_that_is_known():
    rows = [verdict(items_floor=2.64, margin=3.0), verdict("insects")]
    told = {one.column.head: one for one in comparisons(rows)}["test items alone"]
    assert [told.column.text(("", row)) for row in rows] == ["±2.6 (margin 3)", ""]
    found = page_rows(rows, {})
    assert (found[0][told.by], told.by in found[1]) == (2.64, False)
    assert "test items alone" not in [one.column.head for one in comparisons(rows[1:])]
