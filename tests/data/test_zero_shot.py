"""Seen and unseen classes in one label space: their mean accuracies, and the harmonic mean."""

import pytest
import torch

from golden import golden
from transfergrid.data.task import Classification
from transfergrid.data.zero_shot import ZeroShot, harmonic_mean, zero_shot
from transfergrid.testing.tiny_numbers import TinyNumbers


def test_the_harmonic_mean_is_the_published_one_and_no_mean():
    given, expected, tolerance = golden("gzsl", "harmonic_mean")
    assert harmonic_mean(given["seen"], given["unseen"]) == pytest.approx(
        expected["h"], abs=tolerance
    )
    assert harmonic_mean(0.0, 0.0) == expected["both_zero"]


def test_each_class_counts_alike_however_many_examples_it_has():
    task = ZeroShot(("a", "b", "c", "d"), seen=("a", "c"))
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 3, 3])
    said = torch.tensor([0, 0, 0, 1, 1, 0, 3, 0])
    predicted = torch.nn.functional.one_hot(said, 4).float()
    found = task.scores(predicted, labels)
    assert task.by_class(predicted, labels) == {"a": 0.75, "b": 1.0, "c": 0.0, "d": 0.5}
    assert (found["seen"], found["unseen"]) == (0.375, 0.75)
    assert found["harmonic"] == pytest.approx(0.5)
    assert found["accuracy"] == pytest.approx(5 / 8), "of a seen class that is called unseen too"


def test_without_a_seen_class_there_is_nothing_to_balance():
    task = zero_shot(Classification(("a", "b")), ())
    labels = torch.tensor([0, 0, 1])
    found = task.scores(task.answers(labels), labels)
    assert (found["seen"], found["unseen"], found["harmonic"]) == (None, 1.0, None)


def test_a_class_that_no_test_example_is_of_is_left_out():
    task = ZeroShot(("a", "b", "c"), seen=("a",))
    labels = torch.tensor([0, 1])
    found = task.by_class(task.answers(labels), labels)
    assert found == {"a": 1.0, "b": 1.0, "c": None}
    assert task.scores(task.answers(labels), labels)["unseen"] == 1.0


def test_numbers_and_other_tasks_stay_as_they_are():
    task = Classification(("a", "b"), 0.1)
    assert zero_shot(task, None) is task
    assert zero_shot(task, ("a",)) == ZeroShot(("a", "b"), 0.1, ("a",))
    numbers = TinyNumbers().task
    assert zero_shot(numbers, ()) is numbers
    assert task.by_class(torch.eye(2), torch.tensor([0, 1])) == {}
