"""Phases as data: lengths, schedules that several share, who stands still."""

import pytest

from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.gradual_unfreezing import GradualUnfreezing
from transfergrid.strategies.phases import Objective, Phase, in_one_run, lengths
from transfergrid.strategies.still import still_blocks
from transfergrid.testing.bench import Bench

STEP = [Objective(lambda batch, progress: None, [])]


@pytest.mark.parametrize(
    ("shares", "steps", "expected"),
    [
        ([1.0], 200, [200]),
        ([1 / 3, 1 / 3, 1 / 3], 100, [33, 34, 33]),
        ([0.5, 0.5], 7, [4, 3]),
        ([0.1] * 10, 5, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]),
    ],
)
def test_no_step_is_lost_or_won(shares, steps, expected):
    found = lengths([Phase("a", STEP, share) for share in shares], steps)
    assert sum(found) == steps
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1


def test_a_teachers_steps_are_counted_apart_and_what_takes_no_step_has_none():
    teacher = Phase("teach", STEP, counts="teacher")
    phases = [teacher, Phase("solve"), Phase("probe", STEP, 0.25), Phase("tune", STEP, 0.75)]
    assert lengths(phases, 8) == [8, 0, 2, 6]


def test_phases_that_share_a_schedule_run_through_it_once():
    first, last = in_one_run([Phase("a", STEP, 0.25), Phase("b", STEP, 0.75)], lambda p: p)
    found = [first.schedule(step, 2) for step in range(2)]
    found += [last.schedule(step, 6) for step in range(6)]
    assert found == pytest.approx([step / 8 for step in range(8)])
    assert (first.carries_on, last.carries_on) == (False, True)


def test_who_stands_still_is_derived():
    probe = Bench(FeatureExtraction).set_up(10).strategy
    assert still_blocks(probe, probe.phases()[0]) == len(probe.backbone.blocks("fine")) == 5
    whole = Bench(FullFinetuning).set_up(10).strategy
    assert still_blocks(whole, whole.phases()[0]) == 0
    gradual = Bench(GradualUnfreezing).set_up(10).strategy
    assert [still_blocks(gradual, phase) for phase in gradual.phases()] == [5, 4, 2, 0]
    student = Bench(Distillation, {"teacher": FeatureExtraction()}).set_up(10).strategy
    assert [still_blocks(student, phase) for phase in student.phases()] == [0, 0]
