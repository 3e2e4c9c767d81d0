"""What several targets say of each other, and of new ones."""

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from golden import golden_stats
from transfergrid.evidence.statistics.intervals import Estimate
from transfergrid.evidence.statistics.targets import (
    at_least,
    of_a_new_target,
    on_new,
    on_these,
    partial_conjunction,
    rank_test,
)


def measured(y, se, df=1e9):
    return [Estimate(a, b, df, "seeds and test items") for a, b in zip(y, se, strict=True)]


@pytest.fixture
def values():
    return golden_stats("across_targets")


def test_the_mean_over_new_targets_and_its_spread_have_their_golden_values(values):
    over, spread = on_new(measured(values["y"], values["se"]))
    assert over.mean == pytest.approx(values["mu"], rel=1e-10)
    assert over.se == pytest.approx(values["se_hksj_not_below_plain"], rel=1e-10)
    assert over.df == len(values["y"]) - 1
    assert over.interval() == pytest.approx(values["ci95"], rel=1e-10)
    assert 2 * t.sf(over.mean / over.se, over.df) == pytest.approx(values["p_mu"], rel=1e-10)
    assert spread.tau**2 == pytest.approx(values["tau2_paule_mandel"], rel=1e-10)
    assert (spread.low, spread.high) == pytest.approx(values["tau_ci95_q_profile"], rel=1e-10)
    assert spread.q == pytest.approx(values["Q0"], rel=1e-12)
    assert spread.p == pytest.approx(values["p_heterogeneity"], rel=1e-10)
    assert spread.i2 == pytest.approx(values["I2"], rel=1e-12)


def test_a_new_target_has_its_golden_values(values):
    over, spread = on_new(measured(values["y"], values["se"]))
    new = of_a_new_target(over, spread.tau, margin=1.0)
    assert (new.low, new.high) == pytest.approx(values["prediction95_new_target"], rel=1e-10)
    assert new.harm == pytest.approx(values["P_harm_new_target"], rel=1e-10)
    assert new.harm_past_margin == pytest.approx(values["P_harm_beyond_1_point"], rel=1e-10)


def test_the_mean_of_these_targets_has_its_golden_values(values):
    these = on_these(measured(values["y"], values["se"]))
    assert these.mean == pytest.approx(values["mean_equal_weights"], rel=1e-12)
    assert these.se == pytest.approx(values["se_these_targets"], rel=1e-12)


def test_satterthwaites_degrees_of_freedom_by_hand():
    """Errors 1 and 2 with 4 and 9 degrees: (1 + 4)² / (1/4 + 16/9) = 900/73."""
    these = on_these([Estimate(0.0, 1.0, 4.0, ""), Estimate(2.0, 2.0, 9.0, "")])
    assert (these.mean, these.se) == pytest.approx((1.0, math.sqrt(5) / 2))
    assert these.df == pytest.approx(900 / 73)


def test_partial_conjunctions_have_their_golden_values(values):
    z = np.array(values["y"]) / values["se"]
    for side, p in (("harm", norm.cdf(z)), ("gain", norm.sf(z))):
        found = partial_conjunction(p)
        assert found == pytest.approx(values[f"partial_conjunction_p_{side}"], rel=1e-8)
    assert at_least(norm.cdf(z), 0.05) == values["harmed_at_least_95"]
    assert at_least([1e-4, 0.9, 1e-3, 0.02], 0.05) == 3
    assert partial_conjunction([1e-4, 0.9, 1e-3, 0.02]) == pytest.approx([4e-4, 3e-3, 0.04, 0.9])
    assert at_least([1e-4, 0.9, 1e-3, 0.02], 0.03) == 2


def test_rank_tests_have_their_golden_values_and_say_nothing_of_five(values):
    assert rank_test(values["y"]) == pytest.approx(
        (values["wilcoxon_exact_p"], values["sign_p"]), rel=1e-10
    )
    assert rank_test([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert rank_test([1.0, 2.0, 3.0, 4.0, 5.0, 0.0]) is None
    least = values["min_two_sided_p_of_sign_or_wilcoxon_by_K"]
    for k in (6, 7, 10):
        assert rank_test(np.arange(1.0, k + 1)) == pytest.approx((least[str(k)],) * 2)


def test_targets_that_agree_have_no_spread_and_the_plain_error():
    """With equal errors the weights are equal, and no spread leaves SE/√K."""
    over, spread = on_new(measured([2.0] * 6, [0.5] * 6))
    assert (spread.tau, spread.low, spread.i2) == (0.0, 0.0, 0.0)
    assert (over.mean, over.se) == pytest.approx((2.0, 0.5 / math.sqrt(6)))


def test_without_errors_of_their_own_the_spread_is_that_of_the_gains():
    """τ² tends to the sample variance, and the interval to that of a t test over targets."""
    y = np.array([1.0, 4.0, -2.0, 3.0, 0.5, 2.5])
    over, spread = on_new(measured(y, [1e-6] * 6))
    assert spread.tau == pytest.approx(y.std(ddof=1), rel=1e-6)
    half = t.ppf(0.975, 5) * y.std(ddof=1) / math.sqrt(6)
    assert over.interval() == pytest.approx((y.mean() - half, y.mean() + half), rel=1e-6)


def test_four_targets_say_nothing_about_new_ones():
    with pytest.raises(ValueError, match="4 targets tell nothing about new ones"):
        on_new(measured([1.0] * 4, [1.0] * 4))
