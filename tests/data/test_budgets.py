import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergrid.data.budgets import _validating_groups, draw, some_of, stratified_split
from transfergrid.records.errors import BadInputError
from transfergrid.records.seeds import generator

seeds = st.integers(0, 1000)
budgets = st.one_of(st.integers(0, 60), st.just("all"))
samplings = st.sampled_from(["balanced", "natural"])
sizes = st.lists(st.integers(1, 60), min_size=2, max_size=5)


def pool(class_sizes, seed=0):
    labels = np.repeat(np.arange(len(class_sizes)), class_sizes)
    return np.random.default_rng(seed).permutation(labels)


def labelled(found):
    return set(found.train) | set(found.validation)


def more(budget):
    return float("inf") if budget == "all" else budget


@given(sizes, budgets, seeds, samplings)
def test_parts_are_disjoint_and_unlabelled_is_all_but_validation(counts, budget, seed, sampling):
    labels = pool(counts)
    found = draw(labels, len(counts), budget, seed, sampling)
    assert not set(found.train) & set(found.validation)
    everything = set(range(len(labels)))
    assert set(found.unlabelled) == everything - set(found.validation)
    assert list(found.unlabelled) == sorted(found.unlabelled)
    assert sum(found.per_class.values()) == len(found.train) + len(found.validation)


@given(sizes, st.tuples(budgets, budgets), seeds, samplings)
def test_smaller_budgets_are_part_of_larger_ones(counts, two, seed, sampling):
    labels = pool(counts)
    small, large = (draw(labels, len(counts), b, seed, sampling) for b in sorted(two, key=more))
    assert labelled(small) <= labelled(large)


@given(sizes, st.tuples(budgets, budgets), seeds, samplings)
def test_training_and_validation_are_nested_from_ten_labels_on(counts, two, seed, sampling):
    labels = pool(counts)
    two = [b if b == "all" else b + 10 for b in two]
    small, large = (draw(labels, len(counts), b, seed, sampling) for b in sorted(two, key=more))
    assert set(small.train) <= set(large.train)
    assert set(small.validation) <= set(large.validation)


@given(sizes, st.integers(0, 60), seeds)
def test_balanced_takes_as_many_of_each_class_or_records_what_there_was(counts, budget, seed):
    found = draw(pool(counts), len(counts), budget, seed, "balanced")
    assert found.per_class == {str(c): min(budget, n) for c, n in enumerate(counts)}
    short = {str(c): (budget, n) for c, n in enumerate(counts) if n < budget}
    assert found.short == short


@given(st.integers(1, 9), seeds, samplings)
def test_nothing_validates_under_ten_labels_a_class(budget, seed, sampling):
    assert len(draw(pool([50, 50]), 2, budget, seed, sampling).validation) == 0


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), budgets, seeds, samplings)
def test_nothing_validates_in_a_pool_of_under_ten_a_class(counts, budget, seed, sampling):
    assert len(draw(pool(counts), len(counts), budget, seed, sampling).validation) == 0


@given(st.integers(10, 60), seeds)
def test_a_fifth_of_each_class_validates(budget, seed):
    labels = pool([60, 60, 60])
    found = draw(labels, 3, budget, seed, "balanced")
    assert np.bincount(labels[found.validation]).tolist() == [budget // 5] * 3
    assert np.bincount(labels[found.train]).tolist() == [budget - budget // 5] * 3


@given(st.lists(st.integers(10, 60), min_size=2, max_size=4), seeds, samplings)
def test_all_is_the_whole_pool_with_a_stratified_fifth_validating(counts, seed, sampling):
    labels = pool(counts)
    found = draw(labels, len(counts), "all", seed, sampling)
    assert labelled(found) == set(range(len(labels)))
    assert np.bincount(labels[found.validation]).tolist() == [n // 5 for n in counts]
    assert found.short == {}


@given(budgets, seeds, samplings)
def test_the_same_seed_draws_the_same(budget, seed, sampling):
    labels = pool([30, 40])
    first, second = (draw(labels, 2, budget, seed, sampling) for _ in range(2))
    for part in ("train", "validation", "unlabelled"):
        np.testing.assert_array_equal(getattr(first, part), getattr(second, part))


@pytest.mark.parametrize("sampling", ["balanced", "natural"])
def test_seeds_draw_differently_and_every_example_can_be_drawn(sampling):
    labels = pool([25, 25])
    draws = [tuple(draw(labels, 2, 5, seed, sampling).train) for seed in range(60)]
    assert len(set(draws)) == 60
    assert {i for chosen in draws for i in chosen} == set(range(50))


def test_natural_sampling_keeps_the_frequencies_of_the_pool():
    labels = pool([900, 100])
    shares = [draw(labels, 2, 20, seed, "natural").per_class["1"] / 40 for seed in range(200)]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.015)
    assert np.std(shares) > 0.02  # counts fluctuate, as those of a random sample do


def test_natural_sampling_records_a_pool_that_is_too_small():
    found = draw(pool([30, 10]), 2, 25, 0, "natural")
    assert found.short == {"all": (50, 40)}
    assert len(labelled(found)) == 40


def test_one_class_growing_leaves_the_choice_in_another_alone():
    before, after = np.repeat([0, 1], [30, 30]), np.repeat([0, 1], [30, 50])
    first, second = (draw(labels, 2, 5, 3, "balanced").train for labels in (before, after))
    assert [i for i in first if i < 30] == [i for i in second if i < 30]


def test_no_labels_leave_everything_unlabelled():
    found = draw(pool([12, 12]), 2, 0, 0, "balanced")
    assert (len(found.train), len(found.validation), len(found.unlabelled)) == (0, 0, 24)


@pytest.mark.parametrize("budget", [-1, 1.5, "some", True, None])
def test_budgets_that_make_no_sense_are_refused(budget):
    with pytest.raises(BadInputError, match="labels must be 0"):
        draw(pool([5, 5]), 2, budget, 0, "balanced")


def test_unknown_sampling_is_refused():
    with pytest.raises(BadInputError, match="did you mean balanced"):
        draw(pool([5, 5]), 2, 1, 0, "ballanced")


@settings(max_examples=50)
@given(sizes, st.floats(0.05, 0.95), seeds)
def test_stratified_split_has_the_size_asked_and_each_class_in_proportion(counts, share, seed):
    labels = pool(counts)
    n_second = round(share * len(labels))
    second = stratified_split(labels, n_second, seed, "test")
    assert second.sum() == n_second
    exact = np.array(counts) * n_second / len(labels)
    assert np.all(np.abs(np.bincount(labels[second], minlength=len(counts)) - exact) < 1)


# Groups -------------------------------------------------------------------------------------------

group_counts = st.integers(2, 12)


def grouped(counts, n_groups, seed):
    """Return labels and the group of each example; a group may hold several classes."""
    labels = pool(counts, seed)
    return labels, np.random.default_rng(seed).integers(0, n_groups, len(labels)).astype(str)


@given(sizes, group_counts, budgets, seeds, samplings)
def test_no_group_is_on_both_sides(counts, n_groups, budget, seed, sampling):
    labels, groups = grouped(counts, n_groups, seed)
    found = draw(labels, len(counts), budget, seed, sampling, groups)
    assert not set(groups[found.train]) & set(groups[found.validation])
    assert not set(groups[found.unlabelled]) & set(groups[found.validation])


@given(sizes, group_counts, st.tuples(budgets, budgets), seeds, samplings)
def test_groups_keep_budgets_nested(counts, n_groups, two, seed, sampling):
    labels, groups = grouped(counts, n_groups, seed)
    small, large = (
        draw(labels, len(counts), b, seed, sampling, groups) for b in sorted(two, key=more)
    )
    assert labelled(small) <= labelled(large)
    small, large = (
        draw(labels, len(counts), b if b == "all" else b + 10, seed, sampling, groups)
        for b in sorted(two, key=more)
    )
    assert set(small.train) <= set(large.train)
    assert set(small.validation) <= set(large.validation)


@given(sizes, group_counts, seeds, samplings)
def test_every_class_keeps_something_to_learn_from(counts, n_groups, seed, sampling):
    labels, groups = grouped(counts, n_groups, seed)
    found = draw(labels, len(counts), "all", seed, sampling, groups)
    assert set(labels[found.train]) == set(range(len(counts)))


@pytest.mark.parametrize("budget", [10, 20, 50])
def test_with_groups_enough_a_fifth_validates_all_the_same(budget):
    labels, groups = grouped([200, 200], 20, 3)
    found = draw(labels, 2, budget, 0, "balanced", groups)
    assert found.per_class == {"0": budget, "1": budget}
    validating = labels[found.validation]
    assert abs(np.sum(validating == 0) - budget / 5) <= 1
    assert abs(np.sum(validating == 1) - budget / 5) <= 1


def test_which_groups_validate_is_drawn():
    labels, groups = grouped([100, 100], 10, 0)
    seen = [set(groups[draw(labels, 2, 20, s, "balanced", groups).validation]) for s in range(99)]
    assert len(set.union(*seen)) == 10


def validating_groups_one_by_one(labels, groups, seed):
    """Count each group's classes by itself, as it was first written: slow and plain."""
    names = np.unique(groups)
    counts = {n: np.bincount(labels[groups == n], minlength=labels.max() + 1) for n in names}
    left, found = np.sum(list(counts.values()), axis=0), []
    for name in generator(seed, "labels", "groups").permutation(names):
        spared = (left > counts[name]) | (counts[name] == 0)
        if len(found) < max(1, len(names) // 5) and spared.all():
            found.append(str(name))
            left = left - counts[name]
    return found


@given(sizes, st.integers(1, 40), seeds)
def test_counting_all_groups_at_once_chooses_the_same(counts, n_groups, seed):
    labels, groups = grouped(counts, n_groups, seed)
    expected = validating_groups_one_by_one(labels, groups, seed)
    assert _validating_groups(labels, groups, seed) == expected


def test_many_groups_take_no_time():
    labels, groups = grouped([25_000, 25_000], 2000, 0)
    start = time.process_time()
    _validating_groups(labels, groups, 0)
    assert time.process_time() - start < 1


def test_one_group_a_class_leaves_nothing_to_validate():
    labels = pool([30, 30])
    found = draw(labels, 2, 20, 0, "balanced", labels.astype(str))
    assert len(found.validation) == 0
    assert len(found.train) == 40
    assert found.no_validation == "each group is all there is of some class"
    assert draw(labels, 2, 9, 0, "balanced", labels.astype(str)).no_validation is None, "too few"


@given(sizes, group_counts, budgets, seeds, samplings)
def test_why_nothing_validates_is_told_where_labels_are_enough(
    counts, n_groups, budget, seed, sampling
):
    labels, groups = grouped(counts, n_groups, seed)
    found = draw(labels, len(counts), budget, seed, sampling, groups)
    enough = len(labels) >= 10 * len(counts) and (budget == "all" or budget >= 10)
    assert (found.no_validation is not None) == (enough and not len(found.validation))
    assert draw(labels, len(counts), budget, seed, sampling).no_validation is None


# Those that judge -------------------------------------------------------------------------------


@given(sizes, st.tuples(st.integers(1, 120), st.integers(1, 120)), seeds)
def test_those_that_judge_are_nested_and_no_more_than_asked_for(counts, two, seed):
    labels = pool(counts)
    indices = np.flatnonzero(np.random.default_rng(seed).random(len(labels)) < 0.7)
    small, large = (some_of(labels, indices, most, seed) for most in sorted(two))
    assert len(small) == min(min(two), len(indices))
    assert set(small) <= set(large) <= set(indices)
    assert list(small) == sorted(small)


@given(sizes, st.integers(5, 120), seeds)
def test_each_class_judges_in_its_proportion_and_none_is_left_out(counts, most, seed):
    labels = pool(counts)
    chosen = some_of(labels, np.arange(len(labels)), most, seed)
    got, all_there = np.bincount(labels[chosen], minlength=len(counts)), np.array(counts)
    assert got.min() >= 1  # five classes at most, and no fewer asked for
    # Sainte-Laguë's rule: a larger choice keeps a smaller one, which no rounding of exact shares
    # does (Balinski & Young), and of no class is one too many where another lacks it
    last, another = (got - 0.5) / all_there, (got + 0.5) / all_there
    assert (
        np.max(last[got > 1], initial=0.0) <= np.min(another[got < all_there], initial=1.0) + 1e-12
    )


def test_numbers_judge_from_each_tenth_alike():
    labels = np.random.default_rng(0).exponential(size=(1000, 1)).astype(np.float32)
    chosen = some_of(labels, np.arange(1000), 50, seed=3)
    tenth = np.searchsorted(np.quantile(labels, np.arange(1, 10) / 10), labels[chosen, 0])
    assert list(np.bincount(tenth, minlength=10)) == [5] * 10


def test_seeds_choose_others():
    labels = pool([100, 100])
    chosen = [tuple(some_of(labels, np.arange(200), 20, seed)) for seed in range(5)]
    assert len(set(chosen)) == 5
    assert chosen[0] == tuple(some_of(labels, np.arange(200), 20, 0))
