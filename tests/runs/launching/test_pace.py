"""A forecast of the time left: known early, and not from cheap arms."""

import pytest

from pretend_grid import cell
from transfergrid.records.printing import roughly
from transfergrid.runs.launching.pace import Pace, kind_of


def trained(number, what, steps, **strategy):
    return cell(number, what, training={"steps": steps}, **strategy)


MAJORITY, FINETUNED = cell(1, "majority"), trained(2, "full_finetuning", 100)
DISTILLED = trained(3, "distillation", 100, about={"needs": {"teacher": True}})


def test_nothing_is_foreseen_before_a_cell_that_trains_is_done():
    pace = Pace([MAJORITY, FINETUNED, FINETUNED], workers=1)
    assert pace.to_go() is None
    pace.ended(kind_of(MAJORITY), 0.1)
    assert pace.to_go() is None
    pace.ended(kind_of(FINETUNED), 10.0)
    assert pace.to_go() == 10.0


def test_another_strategys_steps_tell_until_its_own_seconds_do():
    pace = Pace([FINETUNED, DISTILLED, DISTILLED], workers=1)
    pace.ended(kind_of(FINETUNED), 10.0)
    assert pace.to_go() == pytest.approx(2 * 20.0)  # a teacher's steps and its own
    pace.ended(kind_of(DISTILLED), 30.0)
    assert pace.to_go() == pytest.approx(30.0)


def test_workers_share_what_is_left_and_failed_cells_tell_no_time():
    pace = Pace([FINETUNED] * 5, workers=2)
    pace.ended(kind_of(FINETUNED), 10.0)
    pace.ended(kind_of(FINETUNED), None)
    assert pace.to_go() == pytest.approx(3 * 10.0 / 2)
    for _ in range(3):
        pace.ended(kind_of(FINETUNED), 10.0)
    assert pace.to_go() == 0


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (3, "some seconds"),
        (44, "about 40 s"),
        (100, "about 2 min"),
        (431, "about 7 min"),
        (3600, "about 1 h"),
        (7790, "about 2 h 10 min"),
    ],
)
def test_a_time_is_told_as_coarsely_as_it_is_known(seconds, told):
    assert roughly(seconds) == told
