"""What is not recorded of a source's cost is unknown, and never nothing."""

from dataclasses import replace

from ledger_factory import made
from transfergrid.evidence.curves import source_cost as module
from transfergrid.evidence.curves.source_cost import source_cost
from transfergrid.records.record import Budget, Cost, Seconds

CARD = {"steps": 400, "train_examples": 3200, "seconds": 9.0}
HERE = {"start": None, "about": {"start": "start"}}
NEEDS_START = {"strategy": {"about": {"needs": {"source": "start"}}}}


def cost(card=CARD, source=HERE, base_source=None, **changes):
    base = made("scratch")
    if base_source:
        base = replace(made("source_only", "glyphs"), config={"source": base_source})
    config = {"source": source, **changes.pop("config", {})}
    arm = made("full_finetuning", "glyphs", baseline=base)
    arm = replace(arm, source=card, config=config, **changes)
    return source_cost([(arm, base)])


def test_a_source_trained_here_is_charged_in_full():
    found = cost()
    assert (found.steps, found.labels, found.seconds, found.note) == (400, 3200, 9.0, "")


def test_a_teacher_is_charged_beside_the_source():
    seconds = Cost(seconds=Seconds(teacher=3.0))
    found = cost(budget=Budget(teacher_steps=200), cost=seconds)
    assert (found.steps, found.teacher_steps, found.seconds) == (600, 200, 12.0)


def test_downloaded_weights_cost_an_unknown_amount():
    found = cost(card={"fingerprint": "ab"}, source={})
    assert (found.steps, found.labels, found.seconds) == (None, None, None)
    assert found.note == module.DOWNLOADED


def test_training_on_top_of_downloaded_weights_is_charged_in_part_and_said():
    for source in ({"start": {"name": "x"}}, {"of": {"start": {"name": "x"}}}):
        found = cost(source=source)
        assert (found.steps, found.note) == (400, module.PARTLY)


def test_a_source_of_both_arms_is_charged_to_neither():
    found = cost(base_source=HERE)
    assert (found.steps, found.labels, found.note) == (0, 0, module.SHARED)


def test_source_examples_in_the_arms_own_steps_are_of_unknown_number():
    found = cost(card={}, config=NEEDS_START)
    assert (found.steps, found.labels, found.note) == (0, None, module.IN_STEPS)
    started = cost(card={}, source={**HERE, "start": {"name": "x"}}, config=NEEDS_START)
    assert started.note == module.DOWNLOADED
