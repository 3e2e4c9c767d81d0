"""Labels of a development target that judge, beside those that a seed block is given."""

import numpy as np
import pytest

from transfergrid.data.opened import OpenDomain
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.testing.tiny import CLASSES, TinyDomain


@pytest.fixture(scope="module")
def target():
    return OpenDomain(config_of(TinyDomain()))


@pytest.mark.parametrize("labels", [0, 2, 10])
def test_it_is_of_no_part_that_the_strategy_sees(target, labels):
    drawn = target.draw(labels, 3)
    left, held = target.hold_out(drawn, labels, 4, 3)
    seen = np.concatenate([left.train, left.validation, left.unlabelled])
    assert not np.intersect1d(held, seen).size
    assert np.bincount(target.loaded.pool.labels[held]).tolist() == [4] * len(CLASSES)
    assert left.train.tolist() == drawn.train.tolist()
    assert left.validation.tolist() == drawn.validation.tolist()
    assert np.union1d(left.unlabelled, held).tolist() == np.union1d(drawn.unlabelled, held).tolist()
    assert held.tolist() == target.hold_out(drawn, labels, 4, 3)[1].tolist()
    assert held.tolist() != target.hold_out(target.draw(labels, 4), labels, 4, 4)[1].tolist()


@pytest.mark.parametrize("labels", [20, "all"])
def test_a_pool_that_is_used_up_judges_nothing(target, labels):
    with pytest.raises(BadInputError, match=f"labels={labels} leaves nothing of the pool"):
        target.hold_out(target.draw(labels, 0), labels, 4, 0)


def test_no_group_judges_of_which_the_strategy_is_given_labels(target, monkeypatch):
    pool = target.loaded.pool
    groups = np.array([f"g{i // 3}" for i in range(len(pool))])
    monkeypatch.setattr(type(pool), "kept_whole", groups, raising=False)
    drawn = target.draw(2, 0)
    held = target.hold_out(drawn, 2, 4, 0)[1]
    taken = groups[np.union1d(drawn.train, drawn.validation)]
    assert len(held)
    assert not set(groups[held]) & set(taken)
