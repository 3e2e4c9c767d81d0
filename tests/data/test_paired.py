"""A target that is seen from a source domain: what is predicted of it, and what is scored."""

import numpy as np
import pytest
import torch

from transfergrid.data.opened import OpenDomain
from transfergrid.data.paired import OpenSet, labels_of_pair, task_of_pair
from transfergrid.data.regression import Regression
from transfergrid.data.task import Classification
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.pairs import Pair
from transfergrid.testing.tiny import TinyDomain

CLASSES = ("ant", "bee", "cat")
OWN = Classification(CLASSES)


def pair(source, target=CLASSES):
    return Pair.of(dict.fromkeys(source, 1), dict.fromkeys(target, 1))


def test_a_closed_pair_is_the_targets_own_task():
    assert task_of_pair(OWN, pair(("cat", "bee", "ant"))) is OWN
    assert task_of_pair(OWN, None) is OWN


def test_a_partial_pair_is_told_apart_among_all_classes_the_targets_own_first():
    found = task_of_pair(OWN, pair(("dog", "cat", "ant", "bee")))
    assert found == Classification(("ant", "bee", "cat", "dog"))
    labels = np.array([2, 0, 1])
    assert labels_of_pair(labels, CLASSES, pair(("dog", *CLASSES))).tolist() == [2, 0, 1]


def test_in_an_open_pair_what_the_source_lacks_is_one_class_and_the_last():
    found = task_of_pair(OWN, pair(("cat",)))
    assert isinstance(found, OpenSet)
    assert found.classes == ("cat", "unknown")
    assert found.unknown == 1
    labels = np.array([2, 0, 1, 2])
    assert labels_of_pair(labels, CLASSES, pair(("cat",))).tolist() == [0, 1, 1, 0]


def test_a_source_that_has_an_unknown_class_already_is_refused():
    with pytest.raises(BadInputError, match="called 'unknown'"):
        task_of_pair(OWN, pair(("ant", "unknown")))


def test_numbers_have_no_pair():
    task = Regression(("age",))
    assert task_of_pair(task, None) is task


def test_open_set_scores_by_hand():
    """Recalls of ant, bee and unknown are 1/2, 1 and 3/4; no cat is tested."""
    task = OpenSet(("ant", "bee", "cat", "unknown"))
    labels = torch.tensor([0, 0, 1, 3, 3, 3, 3])
    said = torch.tensor([0, 3, 1, 3, 3, 3, 2])
    found = task.scores(torch.nn.functional.one_hot(said, 4).float(), labels)
    assert found["os"] == pytest.approx((1 / 2 + 1 + 3 / 4) / 3)
    assert found["os_star"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["unknown_recall"] == pytest.approx(3 / 4)
    assert found["accuracy"] == pytest.approx(5 / 7)
    assert found["balanced_accuracy"] == pytest.approx(found["os"])


def test_what_nobody_is_tested_on_has_no_recall():
    task = OpenSet(("ant", "unknown"))
    found = task.scores(torch.tensor([[0.9, 0.1]]), torch.tensor([0]))
    assert (found["os"], found["os_star"], found["unknown_recall"]) == (1.0, 1.0, None)


def test_a_smoothed_open_set_is_still_one():
    assert isinstance(OpenSet(("ant", "unknown")).smoothed(0.1), OpenSet)


def test_labels_are_drawn_as_for_every_other_arm():
    target = OpenDomain(config_of(TinyDomain()))
    for source in (("circle", "cross", "stripe", "dot"), ("circle", "cross")):
        seen = target.seen_from(pair(source, target.classes))
        one, other = seen.draw(12, 0), target.draw(12, 0)
        assert one.per_class == other.per_class
        for part in ("train", "validation", "unlabelled"):
            assert getattr(one, part).tolist() == getattr(other, part).tolist()
