"""How long a grid will take, from what done cells took: worked out by hand."""

import pytest

from transfergrid.evidence.forecast import Check, History, Kind, Took, checked

PLAIN = Kind("full_finetuning", "small_cnn", "digits", "default", "5")


def took(seconds, kind=PLAIN, runs=1, **more):
    return Took(kind, runs, seconds, **more)


def test_the_most_alike_tell():
    more, other = PLAIN._replace(labels="20"), PLAIN._replace(target="mnist")
    history = History([took(2.0), took(4.0), took(10.0, more), took(30.0, other)])
    assert history.seconds(PLAIN) == 3.0
    assert history.seconds(more) == 10.0
    assert history.seconds(PLAIN._replace(labels="all")) == pytest.approx(16 / 3)
    assert history.seconds(PLAIN._replace(target="letters")) == pytest.approx(46 / 4)


def test_what_the_first_cell_of_a_worker_warms_is_not_foreseen_of_later_ones():
    """Of 9, 1 and 2 the 9 is left out; of two cells none is: 18 s in three runs are 6 s a run."""
    more = PLAIN._replace(labels="20")
    history = History([took(9.0), took(1.0), took(2.0), took(16.0, more, 2), took(2.0, more)])
    assert history.seconds(PLAIN) == 1.5
    assert history.seconds(more) == 6.0
    assert history.seconds(PLAIN._replace(labels="all")) == pytest.approx((3 + 18) / 5)


def test_another_strategy_tells_by_the_same_network_and_training():
    history = History([took(2.0), took(6.0, PLAIN._replace(strategy="scratch"))])
    assert history.seconds(PLAIN._replace(strategy="lora", target="mnist")) == 4.0
    assert history.seconds(PLAIN._replace(architecture="resnet18")) == 2.0
    assert history.seconds(Kind("lora", "resnet18", "digits", "default", "5")) is None


def test_closed_forms_are_foreseen_by_themselves_alone():
    closed = PLAIN._replace(strategy="ridge", training=None)
    history = History([took(0.1, closed)])
    assert history.seconds(closed._replace(target="mnist")) == 0.1
    assert history.seconds(closed._replace(strategy="svm")) is None
    assert history.seconds(PLAIN) is None


def test_a_tuned_cell_takes_a_run_a_trial():
    history = History([took(12.0, runs=4)])
    assert history.seconds(PLAIN, runs=8) == 24.0


def test_memory_is_the_most_of_the_most_alike():
    history = History([took(1.0, memory=5), took(1.0, memory=7), took(1.0)])
    assert history.memory(PLAIN) == 7
    assert history.memory(PLAIN._replace(strategy="ridge", training=None)) is None


def test_a_forecast_is_held_against_what_came():
    cells = [took(2.0, finished=f"2026-01-01T00:00:{n:02}+00:00") for n in range(10)]
    cells += [took(3.0, finished=f"2026-01-01T00:01:{n:02}+00:00") for n in range(10)]
    assert checked(cells[::-1], 0.5) == Check(10, 20, 20.0, 30.0)
    assert checked(cells[:10], 0.5) is None, "of so few nothing is said"


def test_what_nothing_was_like_is_held_against_nothing():
    closed = PLAIN._replace(strategy="ridge", training=None)
    cells = [took(2.0, finished=f"{n:02}") for n in range(10)]
    cells += [took(2.0, closed, finished=f"{n}") for n in range(10, 20)]
    assert checked(cells, 0.5) is None


def test_a_row_of_the_ledger_is_read():
    row = (*PLAIN, 3, 9.0, 2.5, 100, "2026-01-01")
    assert Took.of(row) == Took(PLAIN, 3, 6.5, 2.5, 100, "2026-01-01")
