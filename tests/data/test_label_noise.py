"""A share of labels that says nothing."""

import numpy as np
import pytest

from transfergrid.data.label_noise import noisy


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_as_many_labels_are_wrong_as_chance_makes_of_the_share(share):
    labels = np.arange(100_000) % 10
    found = noisy(labels, share, 10, np.random.default_rng(0))
    assert (found != labels).mean() == pytest.approx(0.9 * share, abs=0.005)
    assert np.bincount(found) / len(found) == pytest.approx(np.full(10, 0.1), abs=0.005)


def test_no_more_labels_are_touched_than_the_share_and_the_given_ones_stay():
    labels = np.zeros(10, dtype=np.int64)
    found = noisy(labels, 0.34, 1000, np.random.default_rng(1))
    assert (found != 0).sum() == 3
    assert not labels.any()


def test_all_noise_knows_nothing_of_the_label():
    labels = np.repeat(np.arange(4), 20_000)
    found = noisy(labels, 1.0, 4, np.random.default_rng(2))
    for label in range(4):
        told = np.bincount(found[labels == label], minlength=4) / 20_000
        assert told == pytest.approx(np.full(4, 0.25), abs=0.02)
