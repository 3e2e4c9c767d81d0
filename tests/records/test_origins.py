"""A gain speaks of one set of source weights wherever all seeds start from the same."""

from dataclasses import replace

import pytest

from ledger_factory import made, measured
from transfergrid.records.origins import is_one_checkpoint

PRETRAINED = {"_target_": "T", "about": {}}
HERE = {"_target_": "H", "seed": 0, "start": None, "about": {"start": "start"}}
ANEW = {**HERE, "seed": "block"}


def cell(source, need="weights", name="s"):
    strategy = {"about": {"needs": {"source": need}}}
    return replace(made("x", name), config={"source": source, "strategy": strategy})


@pytest.mark.parametrize(
    ("source", "need", "one"),
    [
        (PRETRAINED, "weights", True),
        (HERE, "weights", True),
        (ANEW, "weights", False),
        ({"of": HERE, "seed": 0}, "weights", True),
        ({"of": ANEW, "seed": 0}, "weights", False),
        (HERE, "start", False),
        ({**HERE, "about": {}}, "start", False),
        ({**ANEW, "start": PRETRAINED}, "start", True),
        (PRETRAINED, "start", True),
        (None, "weights", False),
    ],
)
def test_weights_are_one_checkpoint_unless_random_or_made_anew(source, need, one):
    assert is_one_checkpoint(cell(source, need)) is one
    assert measured([cell(source, need)])[0].one_checkpoint is one


def test_an_arm_without_a_source_and_a_config_without_descriptions():
    assert not is_one_checkpoint(cell(HERE, "architecture", name=None))
    bare = replace(made("x", "s"), config={"source": HERE, "strategy": {"_target_": "a.B"}})
    assert is_one_checkpoint(bare)
