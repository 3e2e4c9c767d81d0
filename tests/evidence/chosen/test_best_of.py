"""The best of k settings: published estimators, and what they come to for one arm."""

from dataclasses import replace
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_factory import made
from transfergrid.evidence.chosen.best_of import best_of, tried
from transfergrid.records.record import Metric, Trial, Tuning
from transfergrid.records.selection import Selection

VALIDATION = [0.61, 0.74, 0.70, 0.82, 0.79, 0.55, 0.81, 0.77]
TEST = [0.60, 0.72, 0.71, 0.78, 0.80, 0.57, 0.79, 0.75]
BEST = [0.72375, 0.7807142857142857, 0.8001785714285715, 0.8088571428571428]
BEST += [0.81375, 0.8167857142857143, 0.8187499999999999, 0.82]
GOT = [0.715, 0.7635714285714286, 0.7785714285714286, 0.783142857142857]
GOT += [0.7839285714285715, 0.7828571428571428, 0.78125, 0.78]
"""Computed independently, from the formulas of Tang et al. 2020."""


def test_the_best_of_k_is_the_unbiased_one():
    assert best_of(VALIDATION) == pytest.approx(BEST, abs=1e-12)


def test_what_choosing_gives_is_the_score_of_the_chosen():
    assert best_of(VALIDATION, got=TEST) == pytest.approx(GOT, abs=1e-12)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_it_is_the_mean_over_all_draws_of_k(scores):
    for k, value in enumerate(best_of(scores), 1):
        assert value == pytest.approx(fmean(map(max, combinations(scores, k))))
    for k, value in enumerate(best_of(scores, higher=False), 1):
        assert value == pytest.approx(fmean(map(min, combinations(scores, k))))


def test_of_equals_each_is_as_likely():
    assert best_of([0.5, 0.5, 0.1], got=[0.9, 0.7, 0.0])[1:] == pytest.approx([0.8, 0.8])


def searching(scores, seed=0, how="RandomSearch", **changes):
    trials = tuple(Trial(values={"lr_factor": 1.0}, score=score) for score in scores)
    config = {"tuning": {"_target_": f"transfergrid.runs.tuning.searches.{how}"}}
    return made(seed=seed, tuning=Tuning(trials=trials, chosen=0), config=config, **changes)


def test_an_arm_has_the_mean_over_its_seeds_in_points():
    found = tried([searching([0.5, 0.7]), searching([0.9, 0.7], seed=1)])
    assert found.curve == pytest.approx([70.0, 80.0])
    assert (found.n, found.failed, found.alike) == (2, 0, True)


def test_a_failed_trial_counts_as_the_worst_and_is_told():
    found = tried([searching([0.5, None, 0.8])])
    assert found.curve == pytest.approx([60.0, 70.0, 80.0])
    assert found.failed == 1


def test_of_an_error_less_is_better():
    metric = Metric(name="loss", higher_is_better=False)
    found = tried([searching([0.5, 0.7], metric=metric)])
    assert found.curve[1] < found.curve[0]


def test_trials_that_learn_from_earlier_ones_are_told_and_untuned_arms_have_no_curve():
    assert not tried([searching([0.5, 0.7], how="OptunaSearch")]).alike
    assert tried([made()]) is None


def test_what_a_rule_found_of_trials_is_no_score():
    cell = searching([0.5, 0.7])
    assert tried([replace(cell, selection=Selection(rule="snd"))]) is None
    assert tried([replace(cell, selection=Selection(rule=None))]) is not None
