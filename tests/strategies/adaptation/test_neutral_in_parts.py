"""What is its baseline at weight 0 is so where a batch comes in parts, with dropout, too."""

import pytest
import torch

from composed import composer
from transfergrid.records.factory import locate
from transfergrid.records.shipped import strategies
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench

FURTHER = {"bsp": {"penalty": 0.0}}
"""What else must weigh nothing."""


def neutral():
    """Return the strategies that equal `source_only` at weight 0 where classes are the same."""
    for name, at in sorted(strategies().items()):
        told = composer().option("strategy", name).config
        tied = told["about"]["space"].get("lr_factor", {}).get("as_baseline")
        unlabelled = told["about"]["baselines"]["unlabelled"]
        closed = "closed" in told["about"]["needs"].get("pairs", ["closed"])
        if tied and closed and unlabelled == "source_only" and "weight" in told:
            yield pytest.param(locate(at), {"weight": 0.0, **FURTHER.get(name, {})}, id=name)


@pytest.mark.parametrize(("kind", "nothing"), [*neutral()])
def test_a_pass_of_unlabelled_texts_shifts_no_draw_of_the_next_part(kind, nothing):
    plan = Training(steps=3, batch_size=8, validations=1, accumulate=2)
    plain, free = (
        Bench(kind_, told, training=plan).on_texts().run(0).state
        for kind_, told in ((SourceOnly, {}), (kind, nothing))
    )
    assert all(torch.equal(value, free[name]) for name, value in plain.items())


def test_these_are_most_of_the_family():
    assert len([*neutral()]) >= 14
