"""Harm ruled out, gain ruled out: golden values computed elsewhere, and what the words may mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergrid.evidence.statistics.intervals import over_blocks, over_blocks_and_items
from transfergrid.evidence.statistics.power import multiplier
from transfergrid.evidence.statistics.skew import skewness_limit, stands_apart
from transfergrid.evidence.verdicts.decisions import Kind, Rules, decide
from transfergrid.evidence.verdicts.standing import Standing, forecast, seeds_needed

LEVELS = (0.7, 0.74, 0.9, 0.95, 0.62)


def right(arm, block, item):
    """One answer of the golden data, which no random number is in."""
    a, b, i = arm, block, item
    luck = ((i * 37) % 60) / 60 + 0.35 * ((i * (a * a + 3 * a + 5)) % 29) / 29
    luck += 0.25 * ((7 * i + 13 * b + 5 * a * i + 3 * a * b + 11 * (i // 7)) % 23) / 23
    return luck < LEVELS[a] + 0.04 * ((3 * a + 5 * b + a * b * b) % 7)


def answers(arm):
    return np.array([[right(arm, b, i) for i in range(60)] for b in range(5)], dtype=float)


def golden(margin=5.0, **rules):
    """Return the four arms of the golden data, decided."""
    gains = [100 * (answers(arm) - answers(0)) for arm in range(1, 5)]
    estimates = [over_blocks_and_items(one) for one in gains]
    return decide(estimates, [one.mean(axis=1) for one in gains], Rules(margin=margin, **rules))


def test_p_values_of_both_sides_are_those_computed_elsewhere():
    raw, held = golden(correction="none"), golden()
    harm = [0.18014746914670152, 0.009408506049080334, 0.010430314211370327, 0.8266092386404669]
    gain = [0.47255230507882223, 0.9688825237328177, 0.9502229686629531, 0.0327505124045776]
    assert [one.p_harm for one in raw] == pytest.approx(harm, rel=1e-9)
    assert [one.p_gain for one in raw] == pytest.approx(gain, rel=1e-9)
    harm = [0.36029493829340303, 0.037634024196321336, 0.037634024196321336, 0.8266092386404669]
    assert [one.p_harm for one in held] == pytest.approx(harm, rel=1e-9)
    assert [one.p_gain for one in held] == pytest.approx([1.0, 1.0, 1.0, 0.1310020496183104])


def test_only_what_the_corrected_p_allows_at_half_the_level_is_ruled_out():
    assert [one.harm_ruled_out for one in golden()] == [False] * 4  # .0376 is more than .025
    raw = golden(correction="none")
    assert [one.harm_ruled_out for one in raw] == [False, True, True, False]
    assert [one.kind for one in raw] == [
        *(Kind.UNDECIDED, Kind.POSITIVE, Kind.POSITIVE, Kind.UNDECIDED)  # a stronger kind is first
    ]


def test_an_uncorrected_claim_is_what_the_printed_interval_says():
    """With ten seeds, where the crossed estimate alone decides."""
    rng = np.random.default_rng(8)
    seen = set()
    for mean in np.linspace(-3, 3, 61):
        gains = rng.normal(mean, 1.6, 10)
        (one,) = decide([over_blocks(gains)], [gains], Rules())
        low, high = over_blocks(gains).interval()
        assert one.harm_ruled_out is (low > -1)
        assert one.gain_ruled_out is (high < 1)
        seen.add(one.kind)
    assert {Kind.HARM_RULED_OUT, Kind.GAIN_RULED_OUT, Kind.POSITIVE, Kind.NEGATIVE} <= seen


@settings(max_examples=80)
@given(st.integers(0, 10**6), st.integers(2, 12), st.floats(0.2, 4))
def test_the_order_of_the_kinds(seed, n, sd):
    """Equivalent, else a sign, else what is ruled out: the first that holds, and all are kept."""
    family = np.random.default_rng(seed).normal(0.5, sd, (3, n))
    for one in decide([over_blocks(g) for g in family], list(family), Rules()):
        if one.kind is Kind.HARM_RULED_OUT:
            assert one.harm_ruled_out
            assert one.p_harm <= 0.025
        if one.kind is Kind.GAIN_RULED_OUT:
            assert one.gain_ruled_out
            assert not one.harm_ruled_out
        if one.kind is Kind.UNDECIDED:
            assert {one.harm_ruled_out, one.gain_ruled_out} == {False}


@pytest.mark.parametrize(
    "gains", [[9.0, 9.1, 9.2, 9.1, 2.0], [3.0] * 5, [3.0]], ids=["skewed", "constant", "one seed"]
)
def test_what_cannot_be_decided_rules_nothing_out(gains):
    gains = np.array(gains)
    (one,) = decide([over_blocks(gains)], [gains], Rules())
    assert (one.kind, one.harm_ruled_out, one.gain_ruled_out) == (Kind.UNDECIDED, False, False)


def test_a_level_above_five_percent_never_claims_against_the_printed_interval():
    gains = np.arange(10) - 4.5 + 1.1
    (one,) = decide([over_blocks(gains)], [gains], Rules(alpha=0.3))
    low, _ = over_blocks(gains).interval()
    assert low < -1
    assert one.p_harm < 0.15
    assert one.kind is Kind.UNDECIDED


def test_seeds_that_would_rule_out_harm_are_fewer_than_those_that_would_show_the_gain():
    gains = 0.6 + 2.0 * (np.arange(5) - 2) / 1.5811388
    (one,) = decide([over_blocks(gains)], [gains], Rules())
    assert one.seeds_for_harm < one.seeds_needed
    standing = Standing(over_blocks(gains), gains)
    assert one.seeds_for_harm == seeds_needed(standing, 1.6, 0.05, 0.8)
    (lost,) = decide([over_blocks(gains - 3)], [gains - 3], Rules())
    assert lost.seeds_for_harm is None  # a loss beyond the margin is no case for it


# The detectable gain -----------------------------------------------------------------------------


@pytest.mark.parametrize(("df", "among", "published"), [(2, 8, 16.0), (4, 8, 6.66), (2, 1, 5.65)])
def test_the_multiplier_is_that_of_the_noncentral_t(df, among, published):
    assert multiplier(df, 0.05 / among, 0.8) == pytest.approx(published, rel=2.6e-3)


@pytest.mark.parametrize("df", [0.05, 0.4, 1.0, 2.0, 7.3, 200.0, 1e7])
@pytest.mark.parametrize("level", [0.05, 0.00625, 1e-4])
def test_the_multiplier_has_its_power(df, level):
    """Far out it is taken from the chi-square alone; drawn, not computed."""
    from scipy.special import stdtrit

    rng = np.random.default_rng(3)
    z, v = rng.standard_normal(40_000), rng.chisquare(df, 40_000) / df
    t = (z + multiplier(df, level, 0.8)) / np.sqrt(np.maximum(v, 1e-300))
    assert np.mean(t > stdtrit(df, 1 - level / 2)) == pytest.approx(0.8, abs=0.01)


# The range of a forecast -------------------------------------------------------------------------


def test_a_forecast_of_seeds_has_a_range_that_holds_the_true_number():
    """Four of five studies of five seeds: the ends hold what the true spread would ask for."""
    rng, held, studies = np.random.default_rng(2), 0, 400
    ideal = 1.5 * (np.arange(5) - 2) / 1.5811388
    truth = seeds_needed(Standing(over_blocks(ideal), ideal), 1.0, 0.05, 0.8)
    for gains in rng.normal(0.0, 1.5, (studies, 5)):
        if stands_apart(gains) is None:
            found = forecast(Standing(over_blocks(gains), gains), 1.0, 0.05, 0.8)
            assert found.low <= found.seeds <= (found.high or 10**6)
            held += found.low <= truth <= (found.high or 10**6)
        else:
            studies -= 1
    assert held / studies == pytest.approx(0.8, abs=0.04)


# One seed that stands apart ----------------------------------------------------------------------


@pytest.mark.parametrize("n", [10, 15, 40])
def test_the_limit_of_skewness_from_ten_seeds_on(n):
    sample = np.random.default_rng(n).normal(size=(40_000, n))
    centred = sample - sample.mean(axis=1, keepdims=True)
    skewness = (centred**3).mean(axis=1) / (centred**2).mean(axis=1) ** 1.5
    assert np.mean(np.abs(skewness) > skewness_limit(n)) == pytest.approx(0.025, abs=0.004)


def test_the_seed_that_stands_apart_is_found_at_ten_seeds_too():
    gains = np.array([-2.0, -1.6, -2.4, 10.3, -1.8, -2.2, -1.5, -2.6, -1.9, -2.1])
    assert stands_apart(gains) == 3
    assert stands_apart(np.arange(10.0)) is None
    assert stands_apart(np.ones(12)) is None
