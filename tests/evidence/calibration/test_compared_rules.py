"""The vectorised rule is the rule; naive ones are what scipy has of these names."""

import numpy as np
import pytest
from scipy import stats

from transfergrid.evidence.calibration.planted import Noise, Scenario, draw, run
from transfergrid.evidence.calibration.rules import OURS, RULES, decided, families
from transfergrid.evidence.statistics.correction import holm
from transfergrid.evidence.statistics.intervals import over_blocks, over_blocks_and_items
from transfergrid.evidence.verdicts.decisions import Kind, Rules, decide
from transfergrid.evidence.verdicts.rule import (
    EQUIVALENT,
    GAIN_RULED_OUT,
    HARM_RULED_OUT,
    NEGATIVE,
    POSITIVE,
    UNDECIDED,
)

CODES = {
    Kind.NEGATIVE: NEGATIVE,
    Kind.UNDECIDED: UNDECIDED,
    Kind.POSITIVE: POSITIVE,
    Kind.EQUIVALENT: EQUIVALENT,
    Kind.HARM_RULED_OUT: HARM_RULED_OUT,
    Kind.GAIN_RULED_OUT: GAIN_RULED_OUT,
}


def hits(n, m=3, simulations=60, items=50, seed=0):
    """Arms that are better, worse, alike and equal, now and then with a collapse."""
    rng = np.random.default_rng(seed)
    level = rng.choice([0.6, 0.75, 0.8, 0.98], size=(simulations, 1 + m, 1, 1))
    right = rng.random((simulations, 1 + m, n, items)) < level
    right[::7, 1] = right[::7, 0]  # no variation at all
    right[::5, 1, 0] = False
    right[3::8, 2] = right[3::8, 0]
    right[3::8, 2, :, 0] ^= True  # hardly any: equivalent
    return right


@pytest.mark.parametrize("n", [2, 3, 5, 9, 10])
@pytest.mark.parametrize("m", [1, 3])
def test_verdicts_and_intervals_are_those_of_the_rule(n, m):
    """`decide` on `over_blocks_and_items` (and on `over_blocks`), family by family."""
    right = hits(n, max(m, 2))[:, : 1 + m]
    found = held_equal(right, 8.0)
    assert found - {HARM_RULED_OUT, GAIN_RULED_OUT} == {NEGATIVE, UNDECIDED, POSITIVE, EQUIVALENT}
    assert n == 2 or found & {HARM_RULED_OUT, GAIN_RULED_OUT}


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_seeds_must_stand_on_their_own_as_in_the_rule(n):
    """Where seeds are the main noise: held equal on all families that the seeds' test changes."""
    noise, rules = Noise(items=100, sd=4.0, accuracy=80.0), Rules(margin=9.0)
    chance = draw(noise, family=2, blocks=n, simulations=1_500)
    right = np.concatenate([run(noise, Scenario.NORMAL, 6.0, drawn) for drawn in chance])
    seen = families(right)
    crossed = decided([seen.crossed], seen.gains, rules)
    changed = crossed != decided(seen.tests(), seen.gains, rules)
    assert {POSITIVE, EQUIVALENT} <= set(crossed[changed].tolist())
    held_equal(right[changed.any(axis=1)], rules.margin)


def test_an_error_of_more_than_the_interval_s_is_taken_as_in_the_rule():
    noise = Noise(items=80, sd=2.0)
    (drawn,) = draw(noise, family=2, blocks=10, simulations=300)
    held_equal(run(noise, Scenario.NORMAL, 5.0, drawn), 4.0, alpha=0.3)


def held_equal(right, margin, alpha=0.05):
    """Hold the rule in arrays equal to `decide`, family by family, and return the verdicts."""
    rules, seen, kinds = Rules(margin=margin, alpha=alpha), families(right), set()
    by_item = 100.0 * (right[:, 1:].astype(int) - right[:, :1])
    for name, estimate in (
        (OURS, over_blocks_and_items),
        ("verdict, seeds only", lambda gains: over_blocks(gains.mean(axis=1))),
    ):
        called = RULES[name](seen, rules)
        for s in range(len(right)):
            estimates = [estimate(gains) for gains in by_item[s]]
            expected = decide(estimates, list(by_item[s].mean(axis=-1)), rules)
            assert [CODES[d.kind] for d in expected] == called.kinds[s].tolist()
            ends = np.array([e.interval() for e in estimates], dtype=float)
            assert np.allclose(ends.T, [called.low[s], called.high[s]], equal_nan=True)
            kinds.update(called.kinds[s].tolist())
    return kinds


def test_holm_of_many_families_is_holm_of_each():
    p = np.random.default_rng(0).random((40, 6)) ** 3
    assert np.array_equal(holm(p), [holm(row) for row in p])
    p[:, 2] = np.nan  # no test, so no comparison
    assert np.allclose(np.delete(holm(p), 2, 1), [holm(r) for r in np.delete(p, 2, 1)])
    assert np.isnan(holm(p)[:, 2]).all()


def test_t_tests_are_those_of_scipy():
    seen, rules = families(hits(5)[:, :3]), Rules()
    scores = seen.scores[1]
    paired = stats.ttest_rel(scores[2], scores[0])
    assert seen.seeds().p()[1, 1] == pytest.approx(paired.pvalue)
    ends = stats.ttest_ind(scores[2], scores[0], equal_var=False).confidence_interval()
    welch = RULES["unpaired t over seeds"](seen, rules)
    assert (welch.low[1, 1], welch.high[1, 1]) == pytest.approx(tuple(ends))


def test_one_seed_is_judged_by_its_items():
    right = hits(3)
    called = RULES["one seed, its items"](families(right), Rules())
    gains = 100.0 * (right[1, 2, 0].astype(int) - right[1, 0, 0])
    expected = stats.ttest_1samp(gains, 0).confidence_interval()
    assert (called.low[1, 1], called.high[1, 1]) == pytest.approx(tuple(expected))


def test_three_seeds_of_one_sign_are_all_that_a_percentile_bootstrap_needs():
    """The lowest of 27 resamples has 3.7 %, more than the 2.5 % it is asked to cut off."""
    seen = families(hits(3, simulations=200))
    called = RULES["bootstrap over seeds"](seen, Rules())
    same = (seen.gains > 0).all(-1) | (seen.gains < 0).all(-1)
    assert np.array_equal(called.kinds != UNDECIDED, same)


def test_bars_and_means():
    seen = families(hits(3))
    scores = seen.scores[1]
    apart = abs(scores[2].mean() - scores[0].mean()) > scores[[0, 2]].std(axis=1, ddof=1).sum()
    assert (RULES["mean ± sd apart"](seen, Rules()).kinds[1, 1] != UNDECIDED) == apart
    signs = RULES["mean differs"](seen, Rules()).kinds[1]
    assert signs.tolist() == np.sign(seen.gains[1].mean(-1)).tolist()
