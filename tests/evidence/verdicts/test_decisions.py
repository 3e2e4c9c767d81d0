"""The rule for one family: its order, its limits, and what it says of undecided gains."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from transfergrid.evidence.statistics.intervals import over_blocks, over_blocks_and_items
from transfergrid.evidence.statistics.power import finds, multiplier
from transfergrid.evidence.statistics.skew import SKEWED, is_skewed
from transfergrid.evidence.verdicts.decisions import NO_MORE, Kind, Rules, decide
from transfergrid.evidence.verdicts.standing import (
    MORE_ITEMS,
    TOO_MANY,
    Standing,
    seeds_needed,
    standings,
)
from transfergrid.records.errors import BadInputError

RNG = np.random.default_rng(5)


def spread(mean, sd, n=5):
    """Return `n` gains that lie evenly, with exactly this mean and sd."""
    gains = np.arange(n) - (n - 1) / 2
    return mean + sd * gains / gains.std(ddof=1)


def decided(*families, **rules):
    gains = [np.asarray(one, dtype=float) for one in families]
    return decide([over_blocks(one) for one in gains], gains, Rules(**rules))


def crossed(mean, block_sd, item_sd, n, items, rest=0.0, rng=RNG):
    """Return gains (n, items) with these parts of chance."""
    block, item = rng.normal(0, block_sd, (n, 1)), rng.normal(0, item_sd, (1, items))
    return mean + block + item + rng.normal(0, rest, (n, items))


def test_the_gain_that_five_seeds_see_is_found_in_four_of_five_studies_whatever_the_family():
    """sd 1.7, five seeds, family of 18 and alone: by scipy's noncentral t."""
    family = decided(*[spread(0, 1.7)] * 18, margin=0.1)
    alone = decided(spread(0, 1.7), margin=0.1)
    assert {one.kind for one in family} == {Kind.UNDECIDED}
    for one, among in ((family[0], 18), (alone[0], 1)):
        critical = stats.t.ppf(1 - 0.025 / among, 4)
        noncentrality = one.detectable / (1.7 / 5**0.5)
        assert stats.nct.sf(critical, 4, noncentrality) == pytest.approx(0.8, abs=1e-4)


def test_p_is_that_of_scipys_paired_t_test():
    gains = np.array([1.0, 2.5, -0.5, 3.0])
    (one,) = decided(gains)
    assert one.p == one.p_corrected == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)


def test_the_four_verdicts():
    kinds = [one.kind for one in decided(*(spread(m, 0.5) for m in (8, -8, 0.0)), spread(1, 5))]
    assert kinds == [Kind.POSITIVE, Kind.NEGATIVE, Kind.EQUIVALENT, Kind.UNDECIDED]


def test_equivalence_comes_before_superiority():
    """A gain that is surely there and surely small is no transfer of practical relevance."""
    (one,) = decided(spread(0.5, 0.1))
    assert one.p < 0.001
    assert one.kind is Kind.EQUIVALENT


def test_equivalent_means_that_the_90_percent_interval_lies_inside_the_margin():
    for mean in np.linspace(0, 1.2, 25):
        gains = spread(mean, 0.4)
        (one,) = decided(gains)
        low, high = over_blocks(gains).interval(0.90)
        assert (one.kind is Kind.EQUIVALENT) is bool(low > -1 and high < 1)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 12), st.floats(0.05, 5))
def test_a_decided_gain_lies_on_its_side_of_the_interval(seed, n, sd):
    gains = np.random.default_rng(seed).normal(seed % 5 - 2, sd, n)
    (one,) = decided(gains)
    low, high = over_blocks(gains).interval()
    if one.kind is Kind.POSITIVE:
        assert low > 0
    if one.kind is Kind.NEGATIVE:
        assert high < 0
    assert (one.seeds_needed is None) or one.kind is Kind.UNDECIDED


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_swapping_the_arms_swaps_positive_and_negative_and_nothing_else(seed):
    family = np.random.default_rng(seed).normal(1, 2, (4, 5))
    there, back = decided(*family), decided(*-family)
    swapped = {
        Kind.POSITIVE: Kind.NEGATIVE,
        Kind.NEGATIVE: Kind.POSITIVE,
        Kind.HARM_RULED_OUT: Kind.GAIN_RULED_OUT,
        Kind.GAIN_RULED_OUT: Kind.HARM_RULED_OUT,
    }
    for one, other in zip(there, back, strict=True):
        both = one.harm_ruled_out and one.gain_ruled_out
        assert both or other.kind is swapped.get(one.kind, one.kind)
        assert (other.p, other.detectable) == pytest.approx((one.p, one.detectable))
        assert (other.p_harm, other.p_gain) == pytest.approx((one.p_gain, one.p_harm))


def test_equivalence_is_corrected_for_the_family_too():
    gains = spread(0.1, 0.75)  # alone: p of lying outside the margin is below .05, and above .025
    (alone,) = decided(gains)
    assert 0.025 < alone.p_equivalent < 0.05
    assert alone.kind is Kind.EQUIVALENT
    family = decided(gains, gains)
    assert [one.kind for one in family] == [Kind.UNDECIDED] * 2
    assert family[0].p_equivalent == pytest.approx(2 * alone.p_equivalent)


def test_holm_asks_less_of_the_rest_once_some_are_rejected():
    clear, unsure = spread(20, 1), spread(1.5, 1.3)
    beside = decided(clear, unsure)
    assert beside[0].kind is Kind.POSITIVE
    alone = decided(unsure)[0]
    assert beside[1].p_corrected == pytest.approx(alone.p)  # the last step of Holm
    assert beside[1].detectable == pytest.approx(alone.detectable)


@pytest.mark.parametrize(("name", "factor"), [("holm", 3), ("bh", 1), ("none", 1)])
def test_the_correction_is_as_declared(name, factor):
    gains = spread(1.5, 1.3)
    (alone,) = decided(gains)
    assert decided(gains, gains, gains, correction=name)[0].p_corrected == pytest.approx(
        factor * alone.p
    )


def test_the_level_of_a_look_decides_and_not_alpha():
    gains = [spread(3, 2)]  # p = .028
    estimates = [over_blocks(gains[0])]
    assert decide(estimates, gains, Rules())[0].kind is Kind.POSITIVE
    (strict,) = decide(estimates, gains, Rules(), 0.01)
    assert strict.kind is Kind.UNDECIDED
    assert strict.detectable > decide(estimates, gains, Rules())[0].detectable


# Zero variance, one seed, skew -------------------------------------------------------------------


def test_seeds_that_agree_exactly_decide_nothing_by_themselves():
    for value in (0.0, 3.0, -3.0):
        (one,) = decided([value] * 5)
        assert one.kind is Kind.UNDECIDED
        assert (one.p, one.detectable, one.seeds_needed) == (None, None, None)
        assert one.why.startswith("constant, the same gain in all 5 seeds: a fact of this test set")


def test_seeds_that_agree_exactly_are_decided_by_the_items_alone():
    items = crossed(8, 0, 30, 1, 400)
    gains = np.repeat(items, 5, axis=0)  # the same run five times
    estimate = over_blocks_and_items(gains)
    (one,) = decide([estimate], [gains.mean(axis=1)], Rules())
    assert one.p == pytest.approx(stats.ttest_1samp(items[0], 0).pvalue)
    assert one.kind is Kind.POSITIVE


def test_the_same_predictions_everywhere_decide_nothing():
    gains = np.zeros((5, 100))
    (one,) = decide([over_blocks_and_items(gains)], [gains.mean(axis=1)], Rules())
    assert one.kind is Kind.UNDECIDED


def test_one_seed_is_undecided_however_many_items_speak():
    gains = crossed(50, 0, 10, 1, 1000)
    estimate = over_blocks_and_items(gains)
    (one,) = decide([estimate], [gains.mean(axis=1)], Rules())
    assert estimate.interval()[0] > 45
    assert (one.kind, one.p, one.p_corrected) == (Kind.UNDECIDED, None, None)
    assert "one seed" in one.why


def test_few_seeds_of_which_one_stands_apart_are_undecided():
    apart = np.array([9.0, 9.1, 9.2, 9.1, 2.0])
    (one,) = decided(apart)
    assert one.p < 0.05
    assert one.kind is Kind.UNDECIDED
    assert one.why.startswith("skewed")
    assert one.seeds_needed >= 5  # a t test bears it from ten seeds on


def test_ten_seeds_bear_skew():
    assert not is_skewed(np.array([9.0] * 9 + [2.0]))
    assert is_skewed(np.array([9.0] * 8 + [2.0]))
    assert not is_skewed(np.array([1.0, 1.0, 9.0]))  # all that three can show
    assert not is_skewed(np.ones(5))


@pytest.mark.parametrize("n", sorted(SKEWED))
def test_the_limit_of_skewness_is_what_one_in_forty_normal_samples_exceed(n):
    sample = np.random.default_rng(n).normal(size=(40_000, n))
    assert np.mean(np.abs(stats.skew(sample, axis=1)) > SKEWED[n]) == pytest.approx(
        0.025, abs=0.003
    )


# Seeds needed ------------------------------------------------------------------------------------


def power(mean, block_sd, item_sd, n, items, studies=1500):
    """Return how often a gain is found to be positive by this rule, by simulation."""
    rng = np.random.default_rng(11)
    found = 0
    for _ in range(studies):
        gains = crossed(mean, block_sd, item_sd, n, items, rng=rng)
        (one,) = decide([over_blocks_and_items(gains)], [gains.mean(axis=1)], Rules(margin=0.1))
        found += one.kind is Kind.POSITIVE
    return found / studies


@pytest.mark.parametrize(("block_sd", "item_sd"), [(4.0, 0.0), (4.0, 6.0)])
def test_with_the_seeds_that_it_asks_for_the_gain_is_found_in_four_of_five_studies(
    block_sd, item_sd
):
    """An estimate that has met the true spread exactly; then studies of the size it asks for."""
    items, n, mean = 120, 5, 2.6
    rng = np.random.default_rng(2)
    block = spread(0, block_sd, n)[:, None]
    item = rng.normal(size=items)
    item = item_sd * (item - item.mean()) / item.std(ddof=1)
    estimate = over_blocks_and_items(mean + block + item[None, :])
    gains = mean + block[:, 0]
    needed = seeds_needed(Standing(estimate, gains), mean, 0.05, 0.8)
    assert needed > 10
    assert power(mean, block_sd, item_sd, n + needed, items) == pytest.approx(0.8, abs=0.04)


def test_where_the_test_set_is_too_small_no_seeds_would_do():
    gains = crossed(1.0, 1.0, 40.0, 5, 100)
    estimate = over_blocks_and_items(gains)
    (one,) = decide([estimate], [gains.mean(axis=1)], Rules())
    assert (one.kind, one.seeds_needed, one.why) == (Kind.UNDECIDED, None, MORE_ITEMS)


def test_where_no_further_seeds_were_declared_none_are_asked_for():
    gains = [spread(1, 3)]
    (one,) = decide([over_blocks(gains[0])], gains, Rules(), 0.05, 0.0)
    assert (one.seeds_needed, one.why) == (None, NO_MORE)


def test_a_smaller_gain_than_the_margin_asks_for_the_margin():
    def needed(mean, margin):
        return decided(spread(mean, 4), margin=margin)[0].seeds_needed

    assert needed(0.1, 1) == needed(0.9, 1) > needed(0.1, 2)


@settings(max_examples=30)
@given(st.floats(1.0, 6), st.floats(1, 3))
def test_the_seeds_asked_for_are_the_fewest_that_would_do(sd, mean):
    gains = spread(mean, sd)
    needed = seeds_needed(Standing(over_blocks(gains), gains), mean, 0.05, 0.8)

    def found(n):
        return stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, mean / (sd / n**0.5))

    assert found(5 + needed) >= 0.8 - 1e-4
    assert needed == 1 or found(5 + needed - 1) < 0.8 + 1e-4


# Error rates -------------------------------------------------------------------------------------


def test_a_family_without_any_gain_is_wrong_in_one_of_twenty():
    """Family-wise, over new seeds and new items, at five seeds."""
    rng, wrong, studies = np.random.default_rng(4), 0, 600
    for _ in range(studies):
        family = [crossed(0, 1.5, 25, 5, 200, 25, rng) for _ in range(6)]
        found = decide(
            [over_blocks_and_items(one) for one in family],
            [one.mean(axis=1) for one in family],
            Rules(margin=0.1),
        )
        wrong += any(one.is_decided for one in found)
    assert wrong / studies <= 0.065


@pytest.mark.parametrize(
    "wrong", [{"margin": 0}, {"margin": -1}, {"alpha": 0}, {"alpha": 1}, {"power": 1.0}]
)
def test_rules_that_make_no_sense_are_told(wrong):
    with pytest.raises(BadInputError, match=next(iter(wrong))):
        Rules(**wrong)


def test_a_misspelt_correction_is_told_at_once():
    with pytest.raises(BadInputError, match="bonferoni"):
        Rules(correction="bonferoni")


def test_without_items_no_items_are_asked_for():
    gains = spread(1, 150)
    (one,) = decide([over_blocks(gains)], [gains], Rules())
    assert (one.kind, one.seeds_needed, one.why) == (Kind.UNDECIDED, None, TOO_MANY)


def test_items_of_no_error_are_not_lacking():
    gains = spread(0.0, 40)[:, None] + np.zeros((5, 100))
    (one,) = decide([over_blocks_and_items(gains)], [gains.mean(axis=1)], Rules(margin=0.1))
    assert one.why == TOO_MANY


@settings(deadline=None, max_examples=60)
@given(
    st.floats(1e-3, 5), st.floats(0.3, 5_000), st.sampled_from([0.05, 0.01]), st.floats(1e-3, 50)
)
def test_what_a_test_finds_is_what_its_multiplier_says(se, df, level, effect):
    assert finds(se, df, level, 0.8, effect) is (multiplier(df, level, 0.8) * se <= effect)


def test_without_a_look_ahead_all_is_decided_alike():
    rng = np.random.default_rng(0)
    gains = [rng.normal(mean, 3, (5, 40)) for mean in (-5, -1, 0, 0.5, 1, 8)]
    estimates = [over_blocks_and_items(one) for one in gains]
    means = [one.mean(axis=1) for one in gains]
    both = zip(
        *(decide(estimates, means, Rules(), ahead=how) for how in (True, False)), strict=True
    )
    for whole, short in both:
        alike = replace(
            whole, detectable=None, seeds_needed=None, seeds_range=(None, None), seeds_for_harm=None
        )
        assert short == alike


def test_arms_of_unequal_seeds_stand_as_each_would_alone():
    rng = np.random.default_rng(0)
    alike = [rng.normal(size=(5, 30)) for _ in range(4)]
    for gains in (alike, [*alike, rng.normal(size=(3, 30)), rng.normal(size=(12, 30))]):
        means = [one.mean(axis=1) for one in gains]
        together = standings([over_blocks_and_items(one) for one in gains], means)
        for one, own, mean in zip(together, gains, means, strict=True):
            alone = Standing(over_blocks_and_items(own), mean)
            assert one.is_skewed == alone.is_skewed
            assert one.seeds == alone.seeds
            assert one.tests() == alone.tests()
