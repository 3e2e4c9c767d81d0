"""What a verdict holds, and that all of it can be written down."""

import json
from dataclasses import fields

import pytest

from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.verdict import COLUMNS, Verdict
from transfergrid.records.record import Cost, Scores, Seconds
from verdict_cells import Cells


@pytest.fixture
def cells():
    return Cells()


def judged(cells):
    return judge(results_from(cells.records), read=cells.read)


def test_the_columns_are_the_first_fields_and_end_with_the_notes():
    assert tuple(field.name for field in fields(Verdict))[: len(COLUMNS)] == COLUMNS
    assert (COLUMNS[0], COLUMNS[-1], len(COLUMNS)) == ("source", "notes", 16)


def test_a_dictionary_of_it_survives_json(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 78, base, sd=0.9)
    (verdict,) = judged(cells)
    told = json.loads(json.dumps(verdict.as_dict()))
    assert list(told)[:16] == list(COLUMNS)
    assert (told["verdict"], told["gain"], told["seeds"]) == (
        "positive",
        verdict.gain,
        [0, 1, 2, 3, 4],
    )


def test_what_a_verdict_rests_on_fits_together(cells):
    base = cells.arm("scratch")
    arm = cells.arm("a", "glyphs", 78, base, sd=0.9)
    (verdict,) = judged(cells)
    assert verdict.cells == tuple(cell.id for cell in arm)
    assert verdict.baseline_cells == tuple(cell.id for cell in base)
    assert sum(verdict.gains) / 5 == pytest.approx(verdict.gain)
    for gain, one, other in zip(verdict.gains, arm, base, strict=True):
        assert gain == pytest.approx(100 * (one.score - other.score))
    assert (verdict.items, verdict.level, verdict.margin) == (400, 0.05, 1.0)
    assert verdict.beyond_margin is (verdict.low > 1)


def test_its_seconds_leave_out_what_the_source_took(cells):
    base = cells.arm("scratch")
    arm = cells.arm("a", "glyphs", 78, base)
    cells.change(arm[:1], cost=Cost(seconds=Seconds(total=52.0, source=50.0)))
    (verdict,) = judged(cells)
    assert (verdict.seconds, verdict.source_seconds) == (2.0, 50.0)


def test_the_validation_score_is_that_of_all_cells_of_the_arm(cells):
    base = cells.arm("scratch")
    for cell in cells.arm("a", "glyphs", 78, base):
        scores = Scores(test=cell.scores.test, validation={"accuracy": 0.5 + cell.seed / 10})
        cells.change([cell], scores=scores)
    assert judged(cells)[0].validation == pytest.approx(70)


def test_beyond_the_margin_is_the_whole_interval(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 78, base, sd=0.9)
    results, (usual,) = results_from(cells.records), judged(cells)
    for margin, beyond in ((usual.low - 0.01, True), (usual.low + 0.01, False)):
        (verdict,) = judge(results, Rules(margin=margin), read=cells.read)
        assert (verdict.beyond_margin, verdict.verdict) == (beyond, Kind.POSITIVE)
