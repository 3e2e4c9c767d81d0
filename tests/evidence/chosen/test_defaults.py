"""Which settings are chosen as defaults, worked out by hand."""

import pytest

from ledger_factory import made
from transfergrid.evidence.chosen.defaults import defaults
from transfergrid.records.errors import BadInputError
from transfergrid.records.record import Metric, Trial, Tuning

TIED = {"lr_factor": {"low": 0.1, "high": 10.0, "as_baseline": True}}


def cell(strategy, scores, seed=0, labels=20, space=None, baselines=None, **changes):
    """Return a tuned cell: scores by the value of `lr_factor`, or by several values."""
    trials = []
    for value, score in scores.items():
        values = dict(value) if isinstance(value, tuple) else {"lr_factor": value}
        trials.append(Trial(values=values, score=score))
    about = {"space": space or {}, "baselines": baselines or {}}
    config = {"strategy": {"lr_factor": 3.0, "weight": 1.0, "about": about}}
    tuning = Tuning(trials=tuple(trials), chosen=0)
    return made(strategy, seed=seed, labels=labels, config=config, tuning=tuning, **changes)


def chosen(cells):
    return {found.strategy: found for found in defaults(cells)}


def test_the_best_mean_over_cells_is_chosen_and_not_the_best_of_most():
    cells = [
        cell("s", {0.1: 0.60, 1.0: 0.61, 10.0: 0.10}, seed=0),
        cell("s", {0.1: 0.60, 1.0: 0.61, 10.0: 0.10}, seed=1),
        cell("s", {0.1: 0.90, 1.0: 0.30, 10.0: 0.20}, seed=0, labels=50),
        cell("s", {0.1: 0.70, 1.0: 0.30, 10.0: 0.20}, seed=1, labels=50),
    ]
    found = chosen(cells)["s"]
    # means 70, 45.5 and 15; by ranks 0.1 and 1 would be equal. By seed: 75 and 65.
    assert found.setting == {"lr_factor": 0.1}
    assert found.score == pytest.approx(70.0)
    assert found.ahead == pytest.approx(24.5)
    assert (found.seeds, found.cells, found.trials, found.failed) == (2, 4, 3, 0)
    # t of 0.975 with one degree of freedom is 12.706, the standard error of 75 and 65 is 5.
    assert (found.low, found.high) == pytest.approx((70 - 63.531, 70 + 63.531), abs=1e-3)
    assert found.edges == ("lr_factor",)
    assert found.tried == {"lr_factor": (0.1, 10.0)}
    assert found.now == {"lr_factor": 3.0}


def test_one_seed_has_no_interval_and_the_smallest_of_equals_is_taken():
    found = chosen([cell("s", {0.1: 0.2, 1.0: 0.5, 3.0: 0.5, 10.0: 0.1})])["s"]
    assert (found.setting, found.low, found.high) == ({"lr_factor": 1.0}, None, None)
    assert (found.edges, found.ahead) == ((), 0.0)


def test_a_trial_that_failed_counts_as_the_worst_of_its_cell():
    cells = [
        cell("s", {0.1: 0.5, 1.0: 0.6, 10.0: None}, seed=0),
        cell("s", {0.1: 0.5, 1.0: 0.2, 10.0: 0.6}, seed=1),
    ]
    found = chosen(cells)["s"]  # 50, 40 and (50 + 60) / 2
    assert (found.setting, found.score, found.failed) == ({"lr_factor": 10.0}, 55.0, 1)


def test_less_is_better_of_an_error():
    metric = Metric(name="mse", higher_is_better=False)
    found = chosen([cell("s", {0.1: 4.0, 1.0: 2.0, 10.0: 9.0}, metric=metric)])["s"]
    assert (found.setting, found.score, found.ahead) == ({"lr_factor": 1.0}, 2.0, 2.0)


def test_settings_are_common_to_all_cells_or_nothing_is_chosen():
    cells = [cell("s", {0.1: 0.9, 1.0: 0.5}), cell("s", {1.0: 0.5, 5.0: 0.9}, seed=1)]
    found = chosen(cells)["s"]
    assert (found.setting, found.trials, found.ahead) == ({"lr_factor": 1.0}, 1, None)
    with pytest.raises(BadInputError, match="s: no setting was tried by all of its 2 cells"):
        defaults([cell("s", {0.1: 0.9}), cell("s", {5.0: 0.9}, seed=1)])


def test_scores_by_two_metrics_have_no_mean():
    other = cell("s", {1.0: 0.5}, seed=1, metric=Metric(name="auroc"))
    with pytest.raises(BadInputError, match="accuracy and auroc have no mean"):
        defaults([cell("s", {1.0: 0.5}), other])


def test_what_is_its_baseline_but_for_one_term_shares_a_factor_with_it():
    names = {"labelled": "both", "unlabelled": "alone"}
    adapted = {"space": TIED, "baselines": names}
    cells = [
        cell("adapted", {1.0: 0.71, 3.0: 0.72, 10.0: 0.60}, **adapted),
        cell("both", {1.0: 0.87, 3.0: 0.86, 10.0: 0.80}),
        cell("alone", {1.0: 0.60, 3.0: 0.62, 10.0: 0.70}, labels=0),
        cell("other", {1.0: 0.9, 3.0: 0.1, 10.0: 0.1}, baselines=names),
    ]
    found = chosen(cells)  # sums 218, 220 and 210
    assert [found[name].setting["lr_factor"] for name in ("adapted", "both", "alone")] == [3.0] * 3
    assert found["other"].setting == {"lr_factor": 1.0}
    assert (found["other"].shares, found["other"].alone) == ((), None)
    assert (found["adapted"].shares, found["adapted"].alone) == (("alone", "both"), None)
    assert found["both"].alone == {"lr_factor": 1.0}
    assert found["both"].ahead == pytest.approx(-1.0)
    assert found["alone"].alone == {"lr_factor": 10.0}


def test_of_what_is_shared_the_rest_is_chosen_by_each():
    def with_weight(rate, weight):
        return (("lr_factor", rate), ("weight", weight))

    scores = {
        with_weight(1.0, 0.1): 0.5,
        with_weight(1.0, 1.0): 0.7,
        with_weight(3.0, 0.1): 0.6,
        with_weight(3.0, 1.0): 0.2,
    }
    adapted = cell("adapted", scores, space=TIED, baselines={"labelled": "both"})
    found = chosen([adapted, cell("both", {1.0: 0.5, 3.0: 0.7})])  # 70 + 50 against 60 + 70
    assert found["adapted"].setting == {"lr_factor": 3.0, "weight": 0.1}
    assert found["both"].setting == {"lr_factor": 3.0}
    assert found["adapted"].alone == {"lr_factor": 1.0, "weight": 1.0}
    apart = chosen([adapted, cell("both", {0.3: 0.5, 10.0: 0.7})])  # no value in common
    assert apart["adapted"].setting == {"lr_factor": 1.0, "weight": 1.0}
    assert apart["adapted"].shares == ()
