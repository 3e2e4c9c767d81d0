"""The scorecard on gains whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import weightedtau

from transfergrid.evidence.chosen.scorecard import (
    forecasts_of,
    scorecard,
    scorecard_of,
)
from transfergrid.evidence.statistics.rank_statistics import (
    Forecast,
    jackknife,
    mean_tau,
    weighted_tau,
)
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.ledgers.scores import Kept, Value


def forecasts(values, gains, negative=None, score="knn", **more):
    negative = negative if negative is not None else [g < 0 for g in gains]
    group = {"target": "digits", "labels": 5, "strategy": "full_finetuning"} | more
    return [
        Forecast(score=score, source=f"s{i}", value=v, gain=g, negative=n, **group)
        for i, (v, g, n) in enumerate(zip(values, gains, negative, strict=True))
    ]


def only(cells, **more):
    (row,) = scorecard(cells, **more)
    return row


def test_a_score_that_orders_as_the_gains_do_is_perfect_and_its_opposite_is_not():
    gains = [-3.0, -1.0, 2.0, 4.0, 9.0]
    right, wrong = only(forecasts([1, 2, 3, 4, 5], gains)), only(forecasts([5, 4, 3, 2, 1], gains))
    assert (right.tau, right.low, right.high) == (1.0, None, None)  # five in order prove little
    assert (right.regret, right.auroc) == (0.0, 1.0)
    assert (wrong.tau, wrong.regret, wrong.auroc) == (-1.0, 12.0, 0.0)
    assert (right.sources, right.cells, right.groups, right.negatives) == (5, 5, 1, 2)
    assert right.auroc_pairs == 6
    assert right.note == "no interval: leaving out one source at a time shows no spread"


def test_tau_is_scipys_and_weighs_the_top():
    rng = np.random.default_rng(0)
    values, gains = rng.random(9).tolist(), rng.random(9).tolist()
    assert weighted_tau(values, gains) == pytest.approx(weightedtau(values, gains).statistic)
    gains = [4.0, 3.0, 2.0, 1.0]
    top_confused = weighted_tau([3, 4, 2, 1], gains)
    bottom_confused = weighted_tau([4, 3, 1, 2], gains)
    assert top_confused < bottom_confused < 1.0


def test_a_constant_score_orders_nothing_and_equal_gains_tell_nothing():
    assert weighted_tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0.0
    assert weighted_tau([1.0, 2.0], [1.0, 1.0]) is None
    assert weighted_tau([1.0], [1.0]) is None
    row = only(forecasts([1, 2, 3, 4, 5], [1.0] * 5))
    assert (row.tau, row.regret, row.auroc) == (None, 0.0, None)
    assert row.note == "gains or groups too few to order"


def test_regret_is_in_points_of_the_best_source_even_where_the_score_is_silent_on_it():
    row = only(forecasts([0.2, 0.9, None], [1.0, 3.0, 7.0]))
    assert row.regret == 4.0
    assert (row.undefined, row.sources) == (1, 2)


def test_sources_that_tie_for_the_first_place_share_it():
    assert only(forecasts([0.9, 0.9, 0.1], [0.0, 6.0, 5.0])).regret == 3.0


def over(baselines, means, gains, values):
    cells = forecasts(values, gains)
    return [
        replace(cell, mean=mean, baselines=frozenset(of))
        for cell, mean, of in zip(cells, means, baselines, strict=True)
    ]


def test_over_different_baselines_the_source_that_scores_most_is_the_one_to_take():
    """From 60 to 80 is more of a gain than from 85 to 92, and no reason to take it."""
    row = only(over([["small"], ["large"]], [80.0, 92.0], [20.0, 7.0], [0.7, 0.9]))
    assert (row.tau, row.regret, row.by_mean) == (1.0, 0.0, 1)
    wrong = only(over([["small"], ["large"]], [80.0, 92.0], [20.0, 7.0], [0.9, 0.7]))
    assert (wrong.tau, wrong.regret) == (-1.0, 12.0)
    silent = only(over([["small"], ["large"]], [80.0, 92.0], [20.0, 7.0], [0.9, None]))
    assert silent.regret == 12.0


def test_over_one_baseline_gains_decide_whatever_seeds_there_are():
    """Seeds differ in how hard they are: that of a source with few must not count for it."""
    one, few = ["seed 0", "seed 1"], ["seed 1"]
    row = only(over([one, few], [80.0, 84.0], [5.0, 2.0], [0.9, 0.7]))
    assert (row.tau, row.regret, row.by_mean) == (1.0, 0.0, 0)
    unknown = only(over([["small"], ["large"]], [80.0, None], [20.0, 7.0], [0.9, 0.7]))
    assert (unknown.tau, unknown.by_mean) == (1.0, 0)


@pytest.mark.parametrize(
    ("mean", "baseline", "points", "metric", "told"),
    [
        (80.0, 60.0, 20.0, "accuracy", 80.0),
        (0.5, 0.7, 0.2, "loss", -0.5),  # less is better
        (0.7, 0.5, -0.2, "loss", -0.7),
        (60.0, 60.0, 0.0, "accuracy", 60.0),
        (0.5, 0.5, 0.0, "loss", None),
    ],
)
def test_a_verdict_tells_what_it_is_over_and_where_it_ends(mean, baseline, points, metric, told):
    verdict = Verdict(
        source="a", architecture="net", strategy="lora", target="digits", labels=5,
        baseline="scratch", n=1, gain=points, low=None, high=None, p=None, p_corrected=None,
        verdict=Kind.UNDECIDED, detectable=None, seeds_needed=None, metric=metric, mean=mean,
        baseline_mean=baseline, source_part="part a", target_part="target",
        baseline_cells=("cell",),
    )  # fmt: skip
    (joined,) = forecasts_of([kept("a", {"knn": Value(value=1.0)})], [verdict])
    assert (joined.mean, joined.baselines) == (told, {"cell"})


def test_groups_are_compared_within_and_averaged():
    one = forecasts([1, 2, 3, 4], [1, 2, 3, 4], target="a")
    other = forecasts([14, 13, 12, 11], [-4, -3, -2, -1], target="b")
    row = only([*one, *other])
    assert row.tau == 0.0
    assert row.regret == 1.5
    assert row.auroc is None  # no group has both kinds
    assert row.auroc_pooled == 0.0  # over targets, larger scores are of the harmed cells
    assert row.groups == 2


def test_fewer_than_five_sources_get_their_number_and_no_interval():
    row = only(forecasts([1, 2, 4, 3], [1.0, 2.0, 3.0, 4.0]))
    assert 0 < row.tau < 1
    assert (row.low, row.high) == (None, None)
    assert row.note == "too few sources to say: 4"


def test_without_any_spread_there_is_no_interval():
    constant = only(forecasts([1.0] * 6, [3.0, 1.0, 2.0, 5.0, 4.0, 6.0]))
    assert (constant.tau, constant.low, constant.high) == (0.0, None, None)
    assert "shows no spread" in constant.note


@pytest.mark.parametrize("n", [5, 6])
def test_few_sources_of_a_score_that_means_nothing_seldom_exclude_zero(n):
    rng = np.random.default_rng(3)
    rows = [only(forecasts(rng.random(n), rng.random(n))) for _ in range(150)]
    found = [row for row in rows if row.low is not None]
    assert sum(row.low > 0 or row.high < 0 for row in found) <= 0.12 * len(rows)
    assert all(row.low < row.high for row in found)


def test_the_interval_is_the_jackknifes_by_hand():
    values, gains = [1.0, 2.0, 3.0, 5.0, 4.0], [1.0, 3.0, 2.0, 5.0, 4.5]
    cells = forecasts(values, gains)
    less = [weightedtau(np.delete(values, i), np.delete(gains, i)).statistic for i in range(5)]
    error = np.sqrt(4 / 5 * ((less - np.mean(less)) ** 2).sum())
    low, high = jackknife(cells, mean_tau)
    tau = weightedtau(values, gains).statistic
    assert low == pytest.approx(max(-1, tau - 2.7764451 * error))
    assert high == pytest.approx(min(1, tau + 2.7764451 * error))
    assert low < tau < high


def test_an_interval_over_sources_covers_a_score_that_means_nothing():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(40):
        cells = [
            cell
            for target in "abc"
            for cell in forecasts(rng.random(10), rng.random(10), target=target)
        ]
        row = only(cells)
        covered += row.low <= 0.0 <= row.high
    assert covered >= 34


def test_unknown_verdicts_are_in_no_pair():
    row = only(forecasts([1, 2, 3, 4], [1, 2, 3, 4], negative=[True, None, None, False]))
    assert (row.auroc, row.auroc_pairs, row.negatives) == (1.0, 1, 1)


def test_strategies_apart_on_request_and_better_scores_first():
    cells = [
        *forecasts([1, 2, 3, 4], [1, 2, 3, 4]),
        *forecasts([1, 2, 3, 4], [4, 3, 2, 1], strategy="feature_extraction"),
        *forecasts([4, 3, 2, 1], [1, 2, 3, 4], score="leep"),
    ]
    told = [(r.strategy, r.score, round(r.tau, 9)) for r in scorecard(cells, by_strategy=True)]
    assert told == [
        ("full_finetuning", "knn", 1.0),
        ("full_finetuning", "leep", -1.0),
        ("feature_extraction", "knn", -1.0),
    ]
    assert [r.score for r in scorecard(cells)] == ["knn", "leep"]


# Joined with kept scores ------------------------------------------------------------------------


def kept(source, values, seed=0, labels=5, **more):
    return Kept(
        id=f"{source}{seed}",
        source_parts=(f"part {source}", f"with domain {source}"),
        target_part="target",
        source=source,
        target="digits",
        labels=labels,
        seed=seed,
        notes={},
        values=values,
        names={name: name for name in values},
        seconds=0.0,
        **more,
    )


def gain(source, points, part="part {}", kind="transfer"):
    return Verdict(
        source=source,
        architecture=None,
        strategy="full_finetuning",
        target="digits",
        labels=5,
        baseline="scratch",
        n=3,
        gain=points,
        low=None,
        high=None,
        kind=kind,
        source_part=part.format(source),
        target_part="target",
    )


def test_scores_are_joined_by_parts_over_seeds_and_turned_so_that_more_is_better():
    scores = [
        kept("a", {"far": Value(value=1.0, higher_is_better=False), "knn": Value(value=0.2)}),
        kept("a", {"far": Value(value=1.4, higher_is_better=False), "knn": Value(value=0.4)}, 1),
        kept("b", {"far": Value(value=0.1, higher_is_better=False), "knn": Value(value=0.31)}),
        kept("b", {"knn": Value(value=None, reason="too few")}, 1),
        kept("c", {"knn": Value(value=0.9)}, labels=20),
    ]
    gains = [gain("a", 1.0), gain("b", 5.0, part="with domain {}"), gain("c", 9.0)]
    rows = {row.score: row for row in scorecard_of(scores, gains)}
    assert rows["far"].tau == rows["knn"].tau == 1.0
    assert rows["knn"].sources == 2  # of source c only another label budget has scores


def test_impossible_values_are_counted():
    wild = Value(value=117.0, high=46.0, out_of_bounds=True)
    rows = scorecard_of(
        [kept("a", {"h_score": wild}), kept("b", {"h_score": wild}, 1)],
        [gain("a", 1.0), gain("b", 2.0)],
    )
    assert rows[0].out_of_bounds == 2


def test_placebos_are_no_candidates_unless_asked_for():
    scores = [kept(name, {"knn": Value(value=v)}) for name, v in zip("abp", (1, 2, 0), strict=True)]
    gains = [gain("a", 2.0), gain("b", 1.0), gain("p", -9.0, kind="placebo")]
    (without,), (with_them,) = (
        scorecard_of(scores, gains, placebos=asked) for asked in (False, True)
    )
    assert (without.sources, without.tau, without.negatives) == (2, -1.0, 0)
    assert (with_them.sources, with_them.negatives, with_them.auroc) == (3, 1, 1.0)


def test_a_folder_of_results_is_read(tmp_path):
    assert scorecard_of(tmp_path, [gain("a", 1.0)]) == []
