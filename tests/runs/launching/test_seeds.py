"""Seeds of a cell are handed to one worker together, and to any other if it does not take them."""

from collections import deque
from dataclasses import replace
from itertools import product

import pytest

import pretend_grid
from pretend_grid import cell
from transfergrid.records.cell import Parts, Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process.telling import ALONE
from transfergrid.runs.launching import processes
from transfergrid.runs.launching.seeds import MOST, Seeds
from transfergrid.runs.launching.settings import Settings


def stackable(number, what="work", labels=1, **config):
    made = cell(number, what, about={"stackable": True})
    return replace(made, labels=labels, config={**made.config, **config})


def taken(cells, asked="auto", workers=1):
    """Return the numbers of the first cell with those beside it, and of those that wait."""
    waiting = deque(cells)
    first, beside = Seeds(asked, workers).take(0, waiting)
    return [c.seed for c in (first, *beside)], [c.seed for c in waiting]


def test_seeds_of_one_cell_are_taken_together():
    mixed = [stackable(0), cell(1, "plain"), stackable(2, "other"), stackable(3)]
    mixed.append(stackable(4, labels=5))
    assert taken(mixed) == ([0, 3], [1, 2, 4])
    assert taken(mixed, asked=False) == ([0], [1, 2, 3, 4])
    assert taken(mixed[1:]) == ([1], [2, 3, 4]), "it does not say that it may be stacked"
    tuned = [stackable(i, tuning={"trials": 2}) for i in range(2)]
    assert taken(tuned) == ([0], [1])


@pytest.mark.parametrize(("count", "workers", "first"), [(5, 2, 3), (4, 8, 1), (30, 1, MOST)])
def test_no_worker_goes_idle_for_it_and_they_are_not_too_many(count, workers, first):
    own, waiting = taken([stackable(i) for i in range(count)], workers=workers)
    assert (own, waiting) == ([*range(first)], [*range(first, count)])


def test_what_is_kept_for_a_worker_comes_next_and_no_other_is_given_it():
    seeds, waiting = Seeds("auto", 2), deque(stackable(i) for i in range(6))
    assert [c.seed for c in seeds.take(0, waiting)[1]] == [1, 2]
    assert seeds.take(1, waiting)[0].seed == 3
    assert [seeds.take(0, waiting)[0].seed for _ in range(2)] == [1, 2]
    assert not seeds.are_kept(0)
    assert seeds.are_kept(1)


def test_what_is_kept_for_a_worker_that_is_gone_is_next_in_turn():
    seeds, waiting = Seeds("auto", 1), deque([stackable(0), stackable(1), cell(2)])
    seeds.take(0, waiting)
    seeds.release(0, waiting)
    assert [c.seed for c in waiting] == [1, 2]
    assert not seeds.are_kept()


def test_a_kind_that_is_trained_one_by_one_is_not_tried_again():
    first, second = stackable(0), stackable(1)
    seeds, waiting = Seeds("auto", 1), deque([first, second, stackable(2)])
    seeds.take(0, waiting)
    seeds.are_alone(0, first, waiting)
    assert [c.seed for c in waiting] == [1, 2]
    assert seeds.take(0, waiting) == (second, [])


def test_a_worker_is_told_of_those_beside_a_cell_and_may_decline(tmp_path):
    settings = Settings.read({**pretend_grid.TRAINER, "stacked": "auto"}, {}, None)
    pool = processes.Pool(Ledger(tmp_path), settings)
    first, second = stackable(0), stackable(1)
    order = pool._order(first, [second])
    assert ([c["seed"] for c in order["beside"]], order["stacked"]) == ([1], "auto")
    assert not {"beside", "stacked"} & pool._order(first).keys()
    pool.seeds, pool.waiting = Seeds("auto", 1), deque([first, second])
    pool.seeds.take(0, pool.waiting)
    pool._tell(0, first, ALONE)
    assert list(pool.waiting) == [second]


@pytest.mark.parametrize("what", ["work", "fail", "die"])
def test_each_cell_is_run_once_and_once_more_where_its_worker_died(tmp_path, what):
    cells = [stackable(i, what) for i in range(4)] + [stackable(i) for i in range(4, 8)]
    outcome = pretend_grid.run(tmp_path / "results", cells, stacked=True)
    well = 8 if what == "work" else 4
    assert (outcome.done, outcome.failed, outcome.left) == (well, 8 - well, 0)
    tries = [(tmp_path / "tries" / c.id).read_text().split() for c in cells]
    assert [len(pids) for pids in tries] == [2 if what == "die" else 1] * 4 + [1] * 4


def test_how_to_stack_is_checked():
    with pytest.raises(BadInputError, match="stacked"):
        Settings.read({**pretend_grid.TRAINER, "stacked": "often"}, {}, None)
    assert Settings.read(pretend_grid.TRAINER, {}, None).stacked is False


# What is at hand ----------------------------------------------------------------------------------

OPEN = 6
"""Domains that a worker keeps open, see `data.opened`."""


def of(number, source, strategy, seed, target="t"):
    made = cell(number)
    parts = Parts(strategy=strategy, target=target, source=source)
    baseline = Reference(name="scratch", id="f" * 16)
    return replace(made, parts=parts, seed=seed, baseline=baseline)


def in_turn(sources, strategies, seeds, target="t", first=0):
    """Return cells as a plan orders them: seed by seed."""
    told = product(range(seeds), map(str, range(strategies)), map(str, range(sources)))
    return [of(first + n, s, w, seed, target) for n, (seed, w, s) in enumerate(told)]


def found_open(cells, workers):
    """Return the share of cells whose source its worker had open, all cells as long as others."""
    seeds, waiting, has, hits = Seeds(False, workers), deque(cells), {}, 0
    while waiting:
        for slot in range(workers):
            own, (taken, _) = has.setdefault(slot, deque(maxlen=OPEN)), seeds.take(slot, waiting)
            if taken is not None:
                hits += taken.parts.source in own
                own.append(taken.parts.source)
    return hits / len(cells)


def test_cells_of_a_source_go_to_the_worker_that_has_it_open(monkeypatch):
    cells = in_turn(sources=24, strategies=3, seeds=5)
    assert found_open(cells, workers=2) > 0.9
    monkeypatch.setattr(Seeds, "_next", lambda self, slot, waiting: waiting.popleft())
    assert found_open(cells, workers=2) == 0, "in turn each has closed it when it comes again"


def test_no_place_begins_before_all_of_the_place_before_it_have_begun():
    cells = [*in_turn(5, 2, 2, "first"), *in_turn(5, 2, 2, "second", 20)]
    seeds, waiting = Seeds(False, 2), deque(cells)
    order = [seeds.take(number % 2, waiting)[0] for number in range(len(cells))]
    assert [c.parts.target for c in order] == ["first"] * 20 + ["second"] * 20
    assert {c.id for c in order} == {c.id for c in cells}


def test_what_others_are_compared_with_comes_first_though_a_worker_has_something_else_open():
    bases = [replace(c, baseline=None) for c in in_turn(3, 1, 1)]
    seeds, waiting = Seeds(False, 1), deque([*bases, *in_turn(3, 1, 2, first=3)])
    order = [seeds.take(0, waiting)[0] for _ in range(9)]
    assert {c.id for c in order[:3]} == {c.id for c in bases}
